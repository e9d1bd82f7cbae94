//! Real Redis in its three shapes, each with TLS, users and a file: one server, one behind Sentinels, a cluster.
//!
//! The black-box tests take this file, too, so it names nothing of the program. What is started here ends with the
//! value that stands for it, and at the latest with the thread that started it.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use redis::{
    Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, RedisConnectionInfo, TlsCertificates,
};

/// Certificates: nodes of a cluster show theirs to each other, too, which a server's alone is not enough for.
pub(crate) const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

/// Whom the program signs in as: an access list that lets it do what it needs in its own keys, and no more.
pub(crate) const USER: &str = "crossfade";
pub(crate) const PASSWORD: &str = "canary-redis-password-8Kp2Wd";
pub(crate) const PREFIX: &str = "shapes:";
/// What the Sentinels want to hear, and by which name they know the primary.
pub(crate) const SENTINEL_PASSWORD: &str = "canary-sentinel-password-3Rt7Qm";
pub(crate) const MASTER: &str = "main";

/// The servers' own password, for what an operator or a replica does.
const ADMIN: &str = "canary-redis-admin-5Vn9Xe";
const PATIENCE_TURNS: u32 = 3000;

/// Tries until there is an answer; a minute.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE_TURNS {
        if let Some(answer) = ask() {
            return answer;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    panic!("waited in vain: {what}")
}

/// One server. It keeps its file when it ends, and may begin again with it.
pub(crate) struct Node {
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
    program: PathBuf,
    mode: &'static str,
    password: &'static str,
    process: Child,
}

impl Node {
    fn start(program: &Path, lines: &[String]) -> Self {
        Self::with(program, "", ADMIN, |_| lines.to_vec())
    }

    fn with(
        program: &Path,
        mode: &'static str,
        password: &'static str,
        lines: impl FnOnce(u16) -> Vec<String>,
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("crossfade-redis-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let port = free_port();
        let mut all = vec![
            "port 0".to_owned(),
            format!("tls-port {port}"),
            "bind 127.0.0.1".into(),
            format!("tls-cert-file {TLS}/nodes.pem"),
            format!("tls-key-file {TLS}/nodes.key"),
            format!("tls-ca-cert-file {TLS}/nodes-ca.pem"),
            "tls-auth-clients no".into(),
            "tls-replication yes".into(),
            format!("dir {}", folder.display()),
            format!("requirepass {password}"),
        ];
        if mode.is_empty() {
            all.extend([
                format!("masterauth {ADMIN}"),
                format!(
                    "user {USER} on >{PASSWORD} ~{PREFIX}* +@read +@write +@connection +@scripting +time \
                     +cluster|slots -@dangerous"
                ),
                "save \"\"".into(),
                "appendonly yes".into(),
                "appendfsync always".into(),
                "repl-diskless-sync-delay 0".into(),
            ]);
        }
        all.extend(lines(port));
        fs::write(folder.join("redis.conf"), all.join("\n")).unwrap();
        let process = spawn(program, &folder, mode);
        let node = Self { port, folder, program: program.to_owned(), mode, password, process };
        node.wait();
        node
    }

    fn wait(&self) {
        until("Redis takes connections", || self.try_ask::<String>(&["ping"]));
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// With what it kept, and with what it or a Sentinel wrote into its settings.
    pub(crate) fn start_again(&mut self) {
        self.kill();
        self.process = spawn(&self.program, &self.folder, self.mode);
        self.wait();
    }

    /// Sends a signal by its short name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status();
        assert!(sent.unwrap().success(), "{name}");
    }

    /// What it says to its operator.
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.answer(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        self.answer(words).ok()
    }

    fn answer<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let address = ConnectionAddr::TcpTls {
            host: "127.0.0.1".into(),
            port: self.port,
            insecure: false,
            tls_params: None,
        };
        let login = RedisConnectionInfo::default().set_password(self.password);
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(fs::read(format!("{TLS}/nodes-ca.pem")).unwrap()),
        };
        let client =
            Client::build_with_tls(address.into_connection_info()?.set_redis_settings(login), certificates)?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection)
    }

    /// A field of what it says of itself.
    pub(crate) fn info(&self, section: &str, field: &str) -> Option<String> {
        let said: String = self.try_ask(&["info", section])?;
        said.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim().to_owned()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(program: &Path, folder: &Path, mode: &str) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).arg(folder.join("redis.conf"));
    if !mode.is_empty() {
        command.arg(mode);
    }
    command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
    command.spawn().expect("setpriv (of util-linux) starts redis-server")
}

/// Below the ports that systems give to outgoing connections.
pub(crate) fn free_port() -> u16 {
    static TURN: AtomicU16 = AtomicU16::new(0);
    for _ in 0..10_000 {
        let turn = u32::from(TURN.fetch_add(1, Ordering::Relaxed));
        // Elsewhere than the tests that choose ports by themselves.
        let place = std::process::id().wrapping_mul(977).wrapping_add(10_000 + 7 * turn) % 20_000;
        let port = u16::try_from(12_000 + place).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free")
}

/// One server.
pub(crate) fn single(program: &Path) -> Node {
    Node::start(program, &[])
}

/// From where a replica and the Sentinels come, so that a line can tell them from the program.
pub(crate) const WATCHERS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A primary with replicas, and three Sentinels that watch them.
pub(crate) struct Watched {
    /// The first begins as the primary.
    pub(crate) servers: Vec<Node>,
    pub(crate) sentinels: Vec<Node>,
}

impl Watched {
    pub(crate) fn start(program: &Path) -> Self {
        Self::behind(program, 1, &[], |port| port)
    }

    /// With so many replicas and these lines in all servers' settings; everybody finds the first server at the port
    /// that `way` gives.
    pub(crate) fn behind(
        program: &Path,
        replicas: usize,
        lines: &[String],
        way: impl FnOnce(u16) -> u16,
    ) -> Self {
        let first = Node::start(program, lines);
        let watched = way(first.port);
        let follows = [
            format!("replicaof 127.0.0.1 {watched}"),
            format!("bind-source-addr {WATCHERS}"),
            // Where it listens all the same.
            "replica-announce-ip 127.0.0.1".into(),
        ];
        let lines = [lines, &follows].concat();
        let others = (0..replicas).map(|_| Node::start(program, &lines));
        Self::of([first].into_iter().chain(others).collect(), watched, program)
    }

    fn of(servers: Vec<Node>, watched: u16, program: &Path) -> Self {
        for replica in &servers[1..] {
            until("the replica has caught up", || {
                (replica.info("replication", "master_link_status")? == "up").then_some(())
            });
        }
        let replicas = format!("slaves={}", servers.len() - 1);
        let lines = [
            format!("sentinel monitor {MASTER} 127.0.0.1 {watched} 2"),
            format!("sentinel auth-pass {MASTER} {ADMIN}"),
            format!("sentinel down-after-milliseconds {MASTER} 1500"),
            format!("sentinel failover-timeout {MASTER} 5000"),
            format!("sentinel sentinel-pass {SENTINEL_PASSWORD}"),
            format!("bind-source-addr {WATCHERS}"),
            "sentinel announce-ip 127.0.0.1".into(),
        ];
        let sentinel = |_| Node::with(program, "--sentinel", SENTINEL_PASSWORD, |_| lines.to_vec());
        let sentinels: Vec<Node> = (0..3).map(sentinel).collect();
        until("the Sentinels know each other and the replica", || {
            sentinels
                .iter()
                .all(|sentinel| {
                    sentinel.info("sentinel", "master0").is_some_and(|said| {
                        said.contains("status=ok") && said.contains(&replicas) && said.contains("sentinels=3")
                    })
                })
                .then_some(())
        });
        Self { servers, sentinels }
    }
}

/// Three nodes with a third of the slots each, and a replica for each where failing over matters.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    pub(crate) fn start(program: &Path, with_replicas: bool) -> Self {
        let count = if with_replicas { 6 } else { 3 };
        let nodes: Vec<Node> = (0..count)
            .map(|_| {
                Node::with(program, "", ADMIN, |_| {
                    vec![
                        "cluster-enabled yes".into(),
                        "tls-cluster yes".into(),
                        format!("cluster-port {}", free_port()),
                        "cluster-node-timeout 1500".into(),
                        "cluster-replica-validity-factor 0".into(),
                    ]
                })
            })
            .collect();
        for (node, range) in nodes.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]) {
            let _: String = node.ask(&["cluster", "addslotsrange", range[0], range[1]]);
        }
        for (number, node) in nodes.iter().enumerate() {
            let _: String = node.ask(&["cluster", "set-config-epoch", &(number + 1).to_string()]);
        }
        let bus = |node: &Node| -> String {
            let settings: Vec<String> = node.ask(&["config", "get", "cluster-port"]);
            settings[1].clone()
        };
        for node in &nodes[1..] {
            let _: String =
                nodes[0].ask(&["cluster", "meet", "127.0.0.1", &node.port.to_string(), &bus(node)]);
        }
        let cluster = Self { nodes };
        cluster.whole(count);
        if with_replicas {
            for (primary, replica) in cluster.nodes[..3].iter().zip(&cluster.nodes[3..]) {
                let id: String = primary.ask(&["cluster", "myid"]);
                until("a replica follows", || replica.try_ask::<String>(&["cluster", "replicate", &id]));
                until("a replica has caught up", || {
                    (replica.info("replication", "master_link_status")? == "up").then_some(())
                });
            }
        }
        cluster
    }

    /// Waits until all nodes know each other and serve every slot.
    fn whole(&self, count: usize) {
        until("the cluster is whole", || {
            self.nodes
                .iter()
                .all(|node| {
                    let said: Option<String> = node.try_ask(&["cluster", "info"]);
                    said.is_some_and(|said| {
                        said.contains("cluster_state:ok")
                            && said.contains(&format!("cluster_known_nodes:{count}\r"))
                    })
                })
                .then_some(())
        });
    }

    /// Which of the first three nodes serves this key's slot.
    pub(crate) fn primary_of(&self, key: &str) -> usize {
        let words = ["cluster", "keyslot", key];
        let slot: usize = self.nodes.iter().find_map(|node| node.try_ask(&words)).unwrap();
        [5461, 10_923].iter().filter(|first| slot >= **first).count()
    }
}
