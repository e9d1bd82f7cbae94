//! A stranger's HTTP client: follows nothing by itself, keeps cookies as a browser would, blocks.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{LazyLock, Mutex},
};

use reqwest::{Client, ClientBuilder, Method, RequestBuilder, redirect::Policy};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::wait::PATIENCE;

/// One browser profile: a client and its cookies. All requests go to one origin.
pub(crate) struct Visitor {
    client: Client,
    origin: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in an answer {}: {}", self.status, self.text()))
    }

    /// Where a redirect leads.
    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no redirect but {}: {}", self.status, self.text()))
    }

    /// The value of the form's field with this name, as the page was sent.
    pub(crate) fn form_value(&self, name: &str) -> String {
        let page = self.text();
        let found = page.split('<').filter(|tag| tag.starts_with("input")).find_map(|tag| {
            let named = tag.contains(&format!("name=\"{name}\""));
            named.then(|| tag.split("value=\"").nth(1)?.split('"').next().map(str::to_owned))?
        });
        found.unwrap_or_else(|| panic!("no field {name} in {page}"))
    }
}

impl Visitor {
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self::of_origin(&format!("http://{address}"))
    }

    /// `origin` without a slash at its end.
    pub(crate) fn of_origin(origin: &str) -> Self {
        Self::with(origin, |client| client)
    }

    /// With a client of its own kind.
    #[expect(clippy::disallowed_methods, reason = "a stranger's client, not one of the product's")]
    pub(crate) fn with(origin: &str, kind: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(PATIENCE);
        Self { client: kind(client).build().unwrap(), origin: origin.into(), cookies: Mutex::default() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path))
    }

    /// Whose session this is; nobody's where there is none or the store cannot be asked for it.
    pub(crate) fn whose(&self) -> Option<String> {
        let answer = self.get("/.crossfade/session");
        if answer.status == 503 {
            return None;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said: Value = answer.json();
        (said["signed_in"] == true).then(|| said["email"].as_str().unwrap().to_owned())
    }

    /// Goes where a redirect leads; it must be on this visitor's origin.
    pub(crate) fn follow(&self, redirect: &Answer) -> Answer {
        self.get(self.path_of(redirect.location()))
    }

    /// The path and query of an address on this visitor's origin.
    pub(crate) fn path_of<'a>(&self, address: &'a str) -> &'a str {
        let path = address.strip_prefix(&self.origin).unwrap_or(address);
        assert!(path.starts_with('/'), "{address} is not on {}", self.origin);
        path
    }

    pub(crate) fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::POST, path).form(fields))
    }

    /// A request to be completed by the caller: header fields, a body.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.origin));
        let cookies = self.cookies.lock().unwrap();
        if cookies.is_empty() {
            return request;
        }
        let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.header("cookie", pairs.join("; "))
    }

    pub(crate) fn send(&self, request: RequestBuilder) -> Answer {
        let answer = block_on(async {
            let answer = request.send().await.unwrap();
            let headers = answer.headers().iter();
            let headers = headers
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect();
            Answer { status: answer.status().as_u16(), headers, body: answer.bytes().await.unwrap().to_vec() }
        });
        self.keep_cookies(&answer);
        answer
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }

    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.into(), value.into());
    }

    pub(crate) fn forget_cookies(&self) {
        self.cookies.lock().unwrap().clear();
    }

    /// Paths and domains are not looked at: a visitor has one origin.
    fn keep_cookies(&self, answer: &Answer) {
        let mut cookies = self.cookies.lock().unwrap();
        for (_, value) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (pair, attributes) = value.split_once(';').unwrap_or((value, ""));
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            let attributes = attributes.to_ascii_lowercase();
            let expired = attributes.contains("max-age=0") || attributes.contains("01 jan 1970");
            if expired {
                cookies.remove(name);
            } else {
                cookies.insert(name.into(), value.into());
            }
        }
    }
}

/// Whether a request stays without a whole answer: the connection failed, ended early or took too long.
pub(crate) fn fails(request: RequestBuilder) -> bool {
    block_on(async {
        match request.send().await {
            Ok(answer) => answer.bytes().await.is_err(),
            Err(_) => true,
        }
    })
}

/// For the few places of a test that need a future.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    RUNTIME.block_on(future)
}
