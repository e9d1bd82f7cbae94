//! The stage: stand-ins and the proxy, each on its own port of this machine, and a folder that goes away again.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use reqwest::Client;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use url::Url;
use uuid::Uuid;

use super::people;
use crate::{
    app::Instance,
    clock::SystemClock,
    config::{self, Environment},
    session::random_token,
    simulate::{app, okta, scalekit},
    telemetry::logs,
};

/// The demo's configuration, with words to fill in.
const CONFIGURATION: &str = include_str!("crossfade.yaml");

/// A stand-in that plays.
struct Player {
    port: u16,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

/// Everything that runs.
pub(super) struct Stage {
    ports: Ports,
    folder: PathBuf,
    environment: Environment,
    instance: Instance,
    players: Vec<Player>,
    client: Client,
}

/// Who listens where.
#[derive(Clone, Copy)]
struct Ports {
    public: u16,
    admin: u16,
    app: u16,
    okta: u16,
    scalekit: u16,
}

/// The stand-ins that can be broken on purpose.
#[derive(Clone, Copy)]
pub(super) enum Actor {
    App,
    Okta,
    Scalekit,
}

impl Stage {
    /// Starts everything. A walk takes whatever ports are free; a visit prefers the usual ones.
    pub(super) async fn set(walk: bool, show_logs: bool) -> anyhow::Result<Self> {
        let wanted = |port: u16| if walk { 0 } else { port };
        let (app_listener, okta_listener, scalekit_listener) =
            (bind(wanted(8000))?, bind(wanted(8200))?, bind(wanted(8100))?);
        let ports = Ports {
            public: free_port(wanted(8080))?,
            admin: free_port(wanted(9090))?,
            app: port_of(&app_listener)?,
            okta: port_of(&okta_listener)?,
            scalekit: port_of(&scalekit_listener)?,
        };
        let folder = std::env::temp_dir().join(format!("crossfade-demo-{}", Uuid::now_v7()));
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let environment = Environment::new([
            ("DEMO_KEY".to_owned(), random_token()?),
            ("DEMO_OKTA_TOKEN".to_owned(), okta::Options::default().api_token),
            ("DEMO_SCALEKIT_SECRET".to_owned(), "simulated-scalekit-secret".to_owned()),
        ]);

        let application: app::Options = options(app_options(&ports))?;
        std::fs::write(folder.join("people.jsonl"), export(&application)?)?;
        let application = app::App::new(application, SystemClock::shared())?;
        let organisation = okta::Okta::new(options(json!({"users": people::okta()}))?, SystemClock::shared());
        let environment_there =
            scalekit::Scalekit::new(options(scalekit_options(&ports))?, SystemClock::shared())?;
        let players = vec![
            play(app_listener, |listener, end| app::serve(listener, application, end))?,
            play(okta_listener, |listener, end| okta::serve(listener, organisation, end))?,
            play(scalekit_listener, |listener, end| scalekit::serve(listener, environment_there, end))?,
        ];

        let text = configuration(&ports, "0%", "0%");
        let loaded = config::parse(&text, &folder, &environment)
            .map_err(|problems| anyhow::anyhow!("the demo's configuration: {problems}"))?;
        if show_logs {
            logs::init(&loaded.config.telemetry, logs::Format::Readable)?;
        }
        let instance = Box::pin(Instance::start(loaded.config, None)).await?;
        let client = side_door()?;
        Ok(Self { ports, folder, environment, instance, players, client })
    }

    /// Where people go.
    pub(super) fn public(&self) -> anyhow::Result<Url> {
        Ok(Url::parse(&format!("http://app.localhost:{}/", self.ports.public))?)
    }

    /// Where health and metrics are.
    pub(super) fn admin(&self) -> SocketAddr {
        self.instance.admin()
    }

    /// The Scalekit stand-in, as a browser sees it.
    pub(super) fn scalekit(&self) -> anyhow::Result<Url> {
        Ok(Url::parse(&format!("http://scalekit.localhost:{}/", self.ports.scalekit))?)
    }

    /// The application without the proxy.
    pub(super) fn application(&self) -> anyhow::Result<Url> {
        Ok(Url::parse(&format!("http://127.0.0.1:{}/", self.ports.app))?)
    }

    /// Sets both percentages as an operator does: with a changed configuration.
    pub(super) async fn turn_dial(&mut self, cutover: &str, migrate: &str) -> anyhow::Result<()> {
        let text = configuration(&self.ports, cutover, migrate);
        let loaded = config::parse(&text, &self.folder, &self.environment)
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        Ok(Box::pin(self.instance.reload(&Arc::new(loaded.config))).await?)
    }

    /// Breaks a stand-in: `down`, `status=503`, `lost`, …
    pub(super) async fn break_down(&self, actor: Actor, fault: &Value) -> anyhow::Result<()> {
        self.side(actor, reqwest::Method::PUT, "faults", Some(fault)).await.map(|_| ())
    }

    /// Mends a stand-in.
    pub(super) async fn mend(&self, actor: Actor) -> anyhow::Result<()> {
        self.side(actor, reqwest::Method::PUT, "faults", Some(&json!([]))).await.map(|_| ())
    }

    /// All users Scalekit really has.
    pub(super) async fn users(&self) -> anyhow::Result<Vec<Value>> {
        let answer = self.side(Actor::Scalekit, reqwest::Method::GET, "users", None).await?;
        Ok(answer["users"].as_array().cloned().unwrap_or_default())
    }

    /// The code in the newest mail to an address.
    pub(super) async fn mailed_code(&self, email: &str) -> anyhow::Result<String> {
        let answer = self.side(Actor::Scalekit, reqwest::Method::GET, "mails", None).await?;
        let mails = answer["mails"].as_array().cloned().unwrap_or_default();
        let newest = mails.iter().rev().find(|mail| mail["to"] == email);
        let code = newest.and_then(|mail| mail["code"].as_str());
        code.map(str::to_owned).with_context(|| format!("Scalekit mailed no code to {email}"))
    }

    /// How often a password was checked at a stand-in, in all.
    pub(super) async fn password_checks(&self, actor: Actor) -> anyhow::Result<u64> {
        let answer = self.side(actor, reqwest::Method::GET, "counts", None).await?;
        let checks = answer["password_checks"].as_object().cloned().unwrap_or_default();
        Ok(checks.values().filter_map(Value::as_u64).sum())
    }

    async fn side(
        &self,
        actor: Actor,
        method: reqwest::Method,
        door: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let port = match actor {
            Actor::App => self.ports.app,
            Actor::Okta => self.ports.okta,
            Actor::Scalekit => self.ports.scalekit,
        };
        let mut request = self.client.request(method, format!("http://127.0.0.1:{port}/__simulator/{door}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "the side door {door} answered {}", answer.status());
        Ok(answer.json().await?)
    }

    /// Stops everything and removes the folder.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        self.instance.stop().await;
        for player in self.players {
            // It may have stopped by itself; that shows in its result.
            let _ = player.stop.send(());
            player.task.await?.with_context(|| format!("the stand-in on port {}", player.port))?;
        }
        std::fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

fn app_options(ports: &Ports) -> Value {
    let origin = format!("http://app.localhost:{}", ports.public);
    json!({
        "users": people::application(),
        "trust_headers": true,
        "assertion": {
            "jwks_url": format!("http://127.0.0.1:{}/.crossfade/jwks.json", ports.public),
            "issuer": origin,
            "audience": origin,
        },
    })
}

fn scalekit_options(ports: &Ports) -> Value {
    let origin = format!("http://app.localhost:{}", ports.public);
    json!({
        "base_url": format!("http://scalekit.localhost:{}", ports.scalekit),
        "clients": [{
            "id": "skc_100000000000000001",
            "secret": "simulated-scalekit-secret",
            "redirect_uris": [format!("{origin}/.crossfade/callback")],
            "post_logout_redirect_uris": [format!("{origin}/")],
        }],
    })
}

fn configuration(ports: &Ports, cutover: &str, migrate: &str) -> String {
    CONFIGURATION
        .replace("PUBLIC_PORT", &ports.public.to_string())
        .replace("ADMIN_PORT", &ports.admin.to_string())
        .replace("APP_PORT", &ports.app.to_string())
        .replace("OKTA_PORT", &ports.okta.to_string())
        .replace("SCALEKIT_PORT", &ports.scalekit.to_string())
        .replace("OKTA_DOMAIN", people::OKTA_DOMAIN)
        .replace("CUTOVER", cutover)
        .replace("MIGRATE", migrate)
}

/// The application's own people as its export, without those who live at Okta.
fn export(application: &app::Options) -> anyhow::Result<String> {
    let lines = application.export_jsonl()?;
    let own = lines.lines().filter(|line| !line.contains(people::OKTA_DOMAIN));
    Ok(own.fold(String::new(), |all, line| all + line + "\n"))
}

fn options<T: DeserializeOwned>(value: Value) -> anyhow::Result<T> {
    serde_json::from_value(value).context("a stand-in's options")
}

fn bind(port: u16) -> anyhow::Result<TcpListener> {
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    // The usual port may be somebody else's; any other will do.
    let listener = at(port).or_else(|_| at(0)).context("no port is free on loopback")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn free_port(port: u16) -> anyhow::Result<u16> {
    port_of(&bind(port)?)
}

fn port_of(listener: &TcpListener) -> anyhow::Result<u16> {
    Ok(listener.local_addr()?.port())
}

#[expect(clippy::disallowed_methods, reason = "a stand-in of the demo, stopped by the demo")]
fn play<F>(
    listener: TcpListener,
    serve: impl FnOnce(tokio::net::TcpListener, Ended) -> F,
) -> anyhow::Result<Player>
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let port = port_of(&listener)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let end: Ended = Box::pin(async move {
        // A sender that is gone means the same.
        let _ = stopped.await;
    });
    Ok(Player { port, stop, task: tokio::spawn(serve(listener, end)) })
}

type Ended = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[expect(
    clippy::disallowed_methods,
    reason = "the director's own hand, not an outbound client of the product"
)]
fn side_door() -> anyhow::Result<Client> {
    Ok(Client::builder().no_proxy().build()?)
}
