//! Other proxies, as they are installed: before Crossfade, beside it, or instead of it as a yardstick.

use std::net::{SocketAddr, TcpStream};

use super::{
    parts::parts,
    ports,
    process::{self, Process},
    scratch::Scratch,
    wait,
};

/// A running neighbour.
pub(crate) struct Neighbour {
    pub(crate) address: SocketAddr,
    _process: Process,
    _scratch: Scratch,
}

/// nginx with these `http` directives; `LISTEN` stands for its own address.
pub(crate) fn nginx(directives: &str) -> Neighbour {
    nginx_at(SocketAddr::from(([127, 0, 0, 1], ports::free())), directives)
}

/// The same at this address. Several share it when they say `listen LISTEN reuseport`, as its workers do.
pub(crate) fn nginx_at(address: SocketAddr, directives: &str) -> Neighbour {
    let scratch = Scratch::new();
    let folder = scratch.path().display();
    let user = if process::is_root() { "user root;" } else { "" };
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let places = places.map(|kind| format!("  {kind}_temp_path {folder}/{kind};\n")).concat();
    let directives = directives.replace("LISTEN", &address.to_string());
    let text = format!(
        "daemon off;\nmaster_process off;\n{user}\npid {folder}/nginx.pid;\nerror_log stderr error;\nevents {{ \
         worker_connections 16384; }}\nhttp {{\n  access_log off;\n{places}  client_max_body_size 0;\n{directives}\n}}\n"
    );
    let file = scratch.write("nginx.conf", &text);
    let mut command = process::command(&parts().nginx);
    command.arg("-p").arg(scratch.path()).arg("-c").arg(file).args(["-e", "stderr"]);
    started("nginx", command, address, scratch)
}

pub(crate) fn started(
    name: &str,
    command: std::process::Command,
    address: SocketAddr,
    scratch: Scratch,
) -> Neighbour {
    let mut process = Process::start(name, command);
    wait::until(&format!("{name} listens"), || {
        assert!(process.is_running(), "{name} ended:\n{}", process.said());
        TcpStream::connect(address).is_ok().then_some(())
    });
    Neighbour { address, _process: process, _scratch: scratch }
}
