//! Many people at once, from one task each: sign-ins whose every answer is judged and counted.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, Response, redirect::Policy};
use serde_json::Value;
use url::Url;

use crate::support::{
    fleet::Fleet,
    http::{Visitor, block_on},
    scene::{PASSWORD, Person},
    wire::now,
};

/// Longer than anything may take on a loaded machine, so that what comes late is told from what never comes.
const PATIENCE: Duration = Duration::from_mins(4);

/// Nobody who comes again when they were told to is sent away more often.
const MOST_REFUSALS: usize = 5;

/// Nor does anybody lose an answer more often: whoever is cut off goes on to the next replica.
const MOST_CUTS: usize = 40;

/// So often somebody comes back who was let in by the application before they are moved.
const MOST_VISITS: usize = 40;

/// What somebody gets who signs in.
#[derive(Debug)]
pub(super) enum Got {
    /// On the way to Scalekit, under the own address.
    HandedOver,
    /// The application's own yes, with its session.
    LetIn(String),
    /// Told when to come again.
    Busy(u16, Duration),
    /// No whole answer.
    Cut,
    /// What nobody with the right password may get.
    Wrong(String),
}

impl Got {
    fn name(&self) -> String {
        match self {
            Self::HandedOver => "handed over".into(),
            Self::LetIn(_) => "let in".into(),
            Self::Busy(status, _) => format!("{status} with Retry-After"),
            Self::Cut => "cut".into(),
            Self::Wrong(what) => format!("wrong: {what}"),
        }
    }
}

/// How often each answer came, and how long it took.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<String, Vec<Duration>>>);

impl Counts {
    pub(super) fn add(&self, name: &str, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.entry(name.to_owned()).or_default().push(took);
    }

    pub(super) fn of(&self, name: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).map_or(0, Vec::len)
    }

    /// All that begin so.
    pub(super) fn like(&self, beginning: &str) -> Vec<String> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.keys().filter(|name| name.starts_with(beginning)).cloned().collect()
    }

    /// Each answer with its number, the median time and the longest.
    pub(super) fn told(&self) -> String {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = counts.iter_mut().map(|(name, times)| {
            times.sort_unstable();
            let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
            format!("{} {name} ({:.2} s, at most {:.2} s)", times.len(), secs(median), secs(longest))
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn secs(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// A client that stands for any number of browsers, and the form that all of them fill in.
pub(super) struct Load {
    client: Client,
    origin: String,
    application: SocketAddr,
    csrf: [String; 2],
    pub(super) counts: Counts,
    /// How often the one came again who was sent away most often.
    most_refusals: AtomicUsize,
}

impl Load {
    #[expect(clippy::disallowed_methods, reason = "a stranger's client, not one of the product's")]
    pub(super) fn before(fleet: &Fleet) -> Self {
        let page = fleet.replicas[0].visitor();
        let field = page.get("/login?next=/").form_value("csrf");
        let cookie = page.cookie("app_csrf").expect("the form's cookie");
        // The visitor has set up what TLS needs, which this client does not use.
        let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(PATIENCE);
        Self {
            client: client.pool_max_idle_per_host(256).build().unwrap(),
            origin: format!("http://{}", fleet.scene.public()),
            application: fleet.scene.app.address,
            csrf: [field, cookie],
            counts: Counts::default(),
            most_refusals: AtomicUsize::new(0),
        }
    }

    pub(super) fn get(&self, at: SocketAddr, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://{at}{path}"))
    }

    /// Sends the form at a replica; the answer is counted. Whoever the application lets in is asked who they are.
    pub(super) async fn sign_in(&self, at: SocketAddr, email: &str) -> Got {
        let [field, cookie] = &self.csrf;
        let fields = [("csrf", field.as_str()), ("email", email), ("password", PASSWORD), ("next", "/")];
        let request = self.client.post(format!("http://{at}/login")).form(&fields);
        let request = request.header("cookie", format!("app_csrf={cookie}")).header("origin", &self.origin);
        let begun = now();
        let got = match request.send().await {
            Err(_) => Got::Cut,
            Ok(answer) => judge(&answer, email),
        };
        let took = begun.elapsed();
        let got = match got {
            Got::LetIn(session) if self.whose(&session).await != email => {
                Got::Wrong("let in as somebody else".into())
            }
            got => got,
        };
        self.counts.add(&got.name(), took);
        got
    }

    /// Signs in and comes again when they were told to, first at one replica and then at the next ones, until somebody
    /// lets them in. How long it took in all and what it ended with.
    pub(super) async fn until_in(&self, places: &[SocketAddr], first: usize, email: &str) -> (Duration, Got) {
        let begun = now();
        let (mut refusals, mut cuts) = (0, 0);
        loop {
            let got = self.sign_in(places[(first + refusals + cuts) % places.len()], email).await;
            match got {
                Got::Busy(_, wait) if refusals < MOST_REFUSALS => {
                    refusals += 1;
                    self.most_refusals.fetch_max(refusals, Ordering::Relaxed);
                    tokio::time::sleep(wait).await;
                }
                Got::Cut if cuts < MOST_CUTS => {
                    cuts += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                got => return (begun.elapsed(), got),
            }
        }
    }

    /// How often at most anybody was sent away before they were in.
    pub(super) fn most_refusals(&self) -> usize {
        self.most_refusals.load(Ordering::Relaxed)
    }

    /// Whom the application takes the owner of this session for.
    async fn whose(&self, session: &str) -> String {
        let request =
            self.get(self.application, "/api/me").header("cookie", format!("app_session={session}"));
        let me: Value = request.send().await.unwrap().json().await.unwrap();
        me["email"].as_str().unwrap_or("nobody").to_owned()
    }

    /// Fails when an answer was none that a person with the right password may get.
    pub(super) fn assert_nobody_was_wronged(&self) {
        let wrong = self.counts.like("wrong");
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

fn judge(answer: &Response, email: &str) -> Got {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let status = answer.status().as_u16();
    let location = header("location").unwrap_or_default();
    match status {
        429 | 503 => match header("retry-after").and_then(|wait| wait.parse().ok()) {
            Some(wait) => Got::Busy(status, Duration::from_secs(wait)),
            None => Got::Wrong(format!("{status} without Retry-After")),
        },
        302 if location == "/" => {
            let cookies = answer.headers().get_all("set-cookie").iter();
            let session = cookies
                .filter_map(|line| line.to_str().ok()?.strip_prefix("app_session=")?.split(';').next())
                .find(|session| !session.is_empty());
            session.map_or_else(
                || Got::Wrong("302 without a session".into()),
                |session| Got::LetIn(session.to_owned()),
            )
        }
        303 => {
            let away = Url::parse(location).ok().filter(|away| away.path() == "/oauth/authorize");
            let hint = away.and_then(|away| {
                away.query_pairs().find(|(name, _)| name == "login_hint").map(|(_, hint)| hint.into_owned())
            });
            match hint {
                Some(hint) if hint == email => Got::HandedOver,
                Some(_) => Got::Wrong("handed over as somebody else".into()),
                None => Got::Wrong(format!("303 to {}", location.split('?').next().unwrap_or_default())),
            }
        }
        _ => Got::Wrong(format!("{status} to {location}")),
    }
}

/// Every one of these people is handed over at one of the replicas, at the latest when nobody else is busy with them,
/// and the first ones end in a session of their own.
pub(super) fn assert_all_can_sign_in(fleet: &Fleet, load: &Load, people: &[Person], whole: usize) {
    let places = fleet.addresses();
    for (number, crowd) in people.chunks(20).enumerate() {
        let moved = async |person: &Person| {
            for turn in 0..MOST_VISITS {
                match load.until_in(&places, number + turn, &person.email).await {
                    (_, Got::HandedOver) => return,
                    (_, Got::LetIn(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                    (_, got) => panic!("{}: {got:?}", person.id),
                }
            }
            panic!("{} is never moved", person.id);
        };
        block_on(futures_util::future::join_all(crowd.iter().map(moved)));
    }
    for (number, person) in people.iter().take(whole).enumerate() {
        let visitor: Visitor = fleet.moved(number % fleet.replicas.len(), person);
        let home = visitor.get("/");
        assert!(home.text().contains(&person.email), "{}: {}", person.id, home.text());
    }
}
