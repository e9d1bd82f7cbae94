//! Redis in its three shapes, as sections of a configuration.

#[path = "../../../src/store/contract/servers.rs"]
pub(crate) mod servers;

use std::{net::SocketAddr, path::Path};

use self::servers::{Cluster, MASTER, Node, PASSWORD, PREFIX, SENTINEL_PASSWORD, TLS, USER, Watched};
use super::parts::parts;

/// The secrets of every section here.
pub(crate) const SECRETS: [(&str, &str); 2] =
    [("REDIS_PASSWORD", PASSWORD), ("SENTINEL_PASSWORD", SENTINEL_PASSWORD)];

pub(crate) fn program() -> &'static Path {
    &parts().redis_server
}

fn section(place: &str) -> String {
    format!(
        "redis: {{{place}, username: {USER}, password: {{env: REDIS_PASSWORD}}, prefix: '{PREFIX}', \
         ca_file: '{TLS}/nodes-ca.pem'}}"
    )
}

fn urls(nodes: &[Node]) -> String {
    let urls: Vec<String> = nodes.iter().map(|node| format!("'rediss://127.0.0.1:{}'", node.port)).collect();
    format!("[{}]", urls.join(", "))
}

/// One server, or a line to it.
pub(crate) fn at(address: SocketAddr) -> String {
    section(&format!("url: 'rediss://{address}'"))
}

pub(crate) fn single(node: &Node) -> String {
    at(SocketAddr::from(([127, 0, 0, 1], node.port)))
}

pub(crate) fn watched(watched: &Watched) -> String {
    watched_by(&watched.sentinels)
}

pub(crate) fn watched_by(sentinels: &[Node]) -> String {
    let urls = urls(sentinels);
    section(&format!("sentinel: {{master: {MASTER}, urls: {urls}, password: {{env: SENTINEL_PASSWORD}}}}"))
}

pub(crate) fn cluster(cluster: &Cluster) -> String {
    section(&format!("cluster: {{urls: {}}}", urls(&cluster.nodes[..3])))
}
