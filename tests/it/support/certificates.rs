//! A certificate authority of a test's own, by the `openssl` command.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{
    parts::parts,
    process::{self, command},
    scratch::Scratch,
};

/// Signs certificates and keeps them in folders, as a mounted Kubernetes secret does: the names that programs read
/// are links through `..data`, and one swap of that link changes both files.
pub(crate) struct Authority {
    scratch: Scratch,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self { scratch: Scratch::new() };
        let (key, certificate) = (authority.path("ca.key"), authority.path("ca.pem"));
        let mut make = openssl(["req", "-x509", "-subj", "/CN=Test authority", "-days", "30", "-keyout"]);
        make.arg(key).arg("-out").arg(certificate);
        make.args(["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        process::run(make, "");
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), authority.path(name)).unwrap();
        }
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// What a client has to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// What the server is given: the links.
    pub(crate) fn pair(&self) -> (PathBuf, PathBuf) {
        (self.path("tls.crt"), self.path("tls.key"))
    }

    /// Makes a certificate for 127.0.0.1 and `localhost` in a folder of its own.
    pub(crate) fn issue(&self, serial: &str, days: &str) {
        let folder = self.path(serial);
        fs::create_dir(&folder).unwrap();
        let (key, request) = (folder.join("tls.key"), folder.join("request.pem"));
        let mut ask =
            openssl(["req", "-new", "-subj", "/CN=localhost", "-nodes", "-newkey", "ec", "-keyout"]);
        ask.arg(key).arg("-out").arg(&request).args(["-pkeyopt", "ec_paramgen_curve:P-256"]);
        process::run(ask, "");
        let names = folder.join("names");
        fs::write(&names, "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        let mut sign = openssl(["x509", "-req", "-days", days, "-set_serial", &format!("0x{serial}"), "-in"]);
        sign.arg(request).arg("-extfile").arg(names).arg("-out").arg(folder.join("tls.crt"));
        sign.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.path("ca.key"));
        process::run(sign, "");
    }

    /// Puts the certificate of one folder together with the key of another.
    pub(crate) fn mix(&self, name: &str, certificate: &str, key: &str) {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        fs::copy(self.path(certificate).join("tls.crt"), folder.join("tls.crt")).unwrap();
        fs::copy(self.path(key).join("tls.key"), folder.join("tls.key")).unwrap();
    }

    /// Swaps the link.
    pub(crate) fn show(&self, folder: &str) {
        symlink(folder, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }
}

/// The serial number that a new connection sees.
pub(crate) fn serial_at(address: SocketAddr) -> String {
    let shown = handshake(address, &[]).expect("a handshake");
    let text = process::run(openssl(["x509", "-noout", "-serial"]), &shown);
    text.trim().trim_start_matches("serial=").to_owned()
}

/// What `openssl s_client` says of a handshake with these options, `None` when it fails.
pub(crate) fn handshake(address: SocketAddr, options: &[&str]) -> Option<String> {
    let mut connect = openssl(["s_client", "-connect", &address.to_string(), "-servername", "localhost"]);
    connect.args(options).stdin(std::process::Stdio::null());
    let output = connect.output().unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What `curl` prints.
pub(crate) fn curl(trust: &Path, options: &[&str]) -> String {
    let mut ask = command(&parts().curl);
    ask.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--cacert"]).arg(trust);
    ask.args(options);
    process::run(ask, "")
}

fn openssl<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> std::process::Command {
    let mut openssl = command(&parts().openssl);
    openssl.args(arguments);
    openssl
}
