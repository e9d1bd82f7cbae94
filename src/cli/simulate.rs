//! `crossfade simulate`: one stand-in server by itself.

use std::{
    fs,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{Exit, output};
use crate::{
    clock::SystemClock,
    simulate::{
        Certificate, Door, app, http_store, okta,
        scalekit::{self, Fault},
        stormpath,
    },
};

/// How long open requests may take after the first signal.
const GRACE: Duration = Duration::from_secs(5);

/// Run one stand-in server for trials and tests. It knows plain passwords and mails, so it listens on loopback
/// only.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossfade simulate scalekit --listen 127.0.0.1:9400
  crossfade simulate okta --listen 127.0.0.1:0 --seed people.yaml
  crossfade simulate stormpath --listen 127.0.0.1:9401 --seed accounts.yaml --fault rate_limited=7@/v1/accounts
  crossfade simulate http-store --listen 127.0.0.1:9402 --seed users.yaml --fault status=503@/legacy/users
  crossfade simulate scalekit --listen 127.0.0.1:9400 --fault lost@/api/v1/organizations --fault slow=250

When it listens it prints one line of JSON on standard output:
  {\"kind\":\"scalekit\",\"listening\":\"127.0.0.1:9400\"}

Seeds, where PASSWORD is the person's:
  okta        users: [{id: 00u1, login: ann@example.com, password: PASSWORD}]
  stormpath   accounts: [{id: a1, email: ann@example.com, password: PASSWORD, email_verification_status: VERIFIED}]
              (key 2SIMULATEDKEYID:simulated-stormpath-secret, href /v1/applications/1simulatedApplication)
  http-store  users: [{id: '7', username: ann, email: ann@example.com, password: PASSWORD, email_verified: true}]
              (bearer simulated-http-store-token; GET and POST /legacy/users/NAME and /legacy/by-id/ID,
              GET /legacy/users?email=, POST /legacy/hooks/password and /legacy/check)

scalekit also answers gRPC, which is what the official SDKs speak. The Python SDK does so in TLS only:
  crossfade simulate scalekit --listen 127.0.0.1:9400 --tls-cert localhost.pem --tls-key localhost.key

Its side door is under /__simulator/: faults, journal, counts and reset everywhere; scalekit also has mails,
organizations, users, settings, clients, keys/rotate, api_tokens, refreshes and transcript.")]
pub(super) struct Args {
    /// Which server to stand in for
    kind: Kind,
    /// Where to listen, on loopback; port 0 picks a free port
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// People, organizations and settings at the start, in YAML or JSON
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Something that goes wrong: `kind[=number][@/path]`, for example slow=250, lost@/api/v1/organizations or
    /// status=503@/oauth/token; may be given several times
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// A certificate chain in PEM: whoever begins with TLS gets TLS, on the same port
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// The new side: management API, hosted login, OIDC
    Scalekit,
    /// An Okta organisation: primary authentication, users, factors
    Okta,
    /// Stormpath's REST API: login attempts, accounts, groups, custom data
    Stormpath,
    /// An HTTP endpoint that finds people and checks passwords
    HttpStore,
    /// A legacy application with its own sign-in form
    App,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Scalekit => "scalekit",
            Self::Okta => "okta",
            Self::Stormpath => "stormpath",
            Self::HttpStore => "http-store",
            Self::App => "app",
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    if !args.listen.ip().is_loopback() {
        output::note(&format!(
            "error: --listen {}: only loopback (127.0.0.1 or [::1]): this server knows plain passwords and lets \
             anybody read its mails",
            args.listen
        ));
        return Ok(Exit::BadInput);
    }
    // Another part of the process may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(play(args))
}

async fn play(args: Args) -> anyhow::Result<Exit> {
    let certificate = match args.tls_cert.as_deref().zip(args.tls_key.as_deref()) {
        None => None,
        Some((chain, key)) => match Certificate::read(chain, key) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                output::note(&format!("error: --tls-cert, --tls-key: {:#}", anyhow::Error::from(error)));
                return Ok(Exit::BadInput);
            }
        },
    };
    let stop = Stop::new()?;
    let clock = SystemClock::shared();
    match args.kind {
        Kind::Scalekit => {
            let Some(mut options) = seed::<scalekit::Options>(args.seed.as_deref()) else {
                return Ok(Exit::BadInput);
            };
            options.faults.extend(args.fault.clone());
            let state = match scalekit::Scalekit::new(options, clock) {
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                    output::note(&format!("error: --seed: {error}"));
                    return Ok(Exit::BadInput);
                }
                state => state?,
            };
            let (door, stopped) = (Door::new(listen(&args).await?, certificate), stop.asked());
            stop.within(scalekit::serve(door, state, stopped)).await
        }
        Kind::Okta => {
            let Some(mut options) = seed::<okta::Options>(args.seed.as_deref()) else {
                return Ok(Exit::BadInput);
            };
            options.faults.extend(args.fault.clone());
            let state = okta::Okta::new(options, clock);
            let (door, stopped) = (Door::new(listen(&args).await?, certificate), stop.asked());
            stop.within(okta::serve(door, state, stopped)).await
        }
        Kind::Stormpath => {
            let Some(mut options) = seed::<stormpath::Options>(args.seed.as_deref()) else {
                return Ok(Exit::BadInput);
            };
            options.faults.extend(args.fault.clone());
            let state = stormpath::Stormpath::new(options, clock);
            let (door, stopped) = (Door::new(listen(&args).await?, certificate), stop.asked());
            stop.within(stormpath::serve(door, state, stopped)).await
        }
        Kind::HttpStore => {
            let Some(mut options) = seed::<http_store::Options>(args.seed.as_deref()) else {
                return Ok(Exit::BadInput);
            };
            options.faults.extend(args.fault.clone());
            let state = http_store::HttpStore::new(options, clock);
            let (door, stopped) = (Door::new(listen(&args).await?, certificate), stop.asked());
            stop.within(http_store::serve(door, state, stopped)).await
        }
        Kind::App => {
            let Some(mut options) = seed::<app::Options>(args.seed.as_deref()) else {
                return Ok(Exit::BadInput);
            };
            options.faults.extend(args.fault.clone());
            let state = app::App::new(options, clock)?;
            let (door, stopped) = (Door::new(listen(&args).await?, certificate), stop.asked());
            stop.within(app::serve(door, state, stopped)).await
        }
    }
}

/// Listens and says so.
async fn listen(args: &Args) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?.to_string();
    output::line(&json!({ "kind": args.kind.name(), "listening": address }).to_string());
    Ok(listener)
}

/// The seed, or the defaults without one; `None` after a complaint about the file.
fn seed<T: Default + DeserializeOwned>(file: Option<&Path>) -> Option<T> {
    let Some(file) = file else { return Some(T::default()) };
    match read(file) {
        Ok(options) => Some(options),
        Err(error) => {
            output::note(&format!("error: --seed {}: {error:#}", file.display()));
            None
        }
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(file)?;
    if file.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("json")) {
        return Ok(serde_json::from_str(&text)?);
    }
    Ok(serde_saphyr::from_str(&text)?)
}

/// The two signals that end a server, heard from the start.
struct Stop {
    asked: tokio::sync::watch::Receiver<u32>,
    listening: tokio::task::JoinHandle<()>,
}

impl Stop {
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the process and is ended by hand")]
    fn new() -> anyhow::Result<Self> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (count, asked) = tokio::sync::watch::channel(0);
        let listening = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { asked, listening })
    }

    /// Done with the first signal.
    fn asked(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut asked = self.asked.clone();
        async move {
            // An error means that nobody listens for signals any more: then there is nothing to wait for.
            let _ = asked.wait_for(|count| *count > 0).await;
        }
    }

    /// Runs a server to its end. After the first signal it has a moment for open requests; the second cuts it.
    async fn within(self, server: impl Future<Output = std::io::Result<()>>) -> anyhow::Result<Exit> {
        let (mut asked, mut again) = (self.asked.clone(), self.asked.clone());
        let patience = async {
            let _ = asked.wait_for(|count| *count > 0).await;
            tokio::time::sleep(GRACE).await;
        };
        // Whatever is dropped here is a connection somebody was told to close.
        tokio::select! {
            ended = server => ended?,
            () = patience => output::note("note: requests were still open and have been cut"),
            _ = again.wait_for(|count| *count > 1) => {}
        }
        self.listening.abort();
        Ok(Exit::Done)
    }
}
