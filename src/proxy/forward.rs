//! One request to the application and its answer back.

use std::{pin::pin, rc::Rc, sync::Arc};

use http::{
    HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, RETRY_AFTER, TRANSFER_ENCODING},
    request::Parts,
    uri::PathAndQuery,
};
use hyper::{
    body::{Body as _, Incoming},
    upgrade::OnUpgrade,
};
use tokio::time::timeout;

use super::{
    AnswerBody, Outgoing, OutgoingBody, client_ip,
    failure::{ForwardError, chain},
    headers::{FieldRules, X_FORWARDED_FOR},
    request::Asking,
    switch::{self, Tunnel},
    upload::{Progress, UploadBody},
    upstream::{Lease, Unanswered, Upstream},
};
use crate::{
    clock::Deadline,
    config::Public,
    pages::{Pages, Problem},
    telemetry::{Audit, Metrics},
};

/// What a data-plane thread needs to forward requests; one per thread.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) upstream: Rc<Upstream>,
    pub(super) rules: Arc<FieldRules>,
    pub(super) public: Arc<Public>,
    pub(super) pages: Arc<Pages>,
    pub(super) metrics: Metrics,
    pub(super) audit: Audit,
}

/// A request that failed, and itself where it never left.
struct Failed {
    error: ForwardError,
    unsent: Option<Box<Request<UploadBody>>>,
}

impl Core {
    /// Sends a request on: filters its fields, adds ours, and gives back the application's filtered answer, whose
    /// body still streams.
    pub(crate) async fn forward(&self, outgoing: Outgoing) -> Result<Response<AnswerBody>, ForwardError> {
        let Outgoing { mut parts, body, client, id, extra } = outgoing;
        let client_end = parts.extensions.remove::<OnUpgrade>().filter(|_| switch::is_asked(&parts));
        let chain = client_ip::chain(&client, &parts.headers);
        self.rules.strip_request(&mut parts.headers, extra.strip_cookies.as_deref().unwrap_or_default());
        if client_end.is_some() {
            switch::ask(&mut parts.headers);
        }
        self.rules.add_request(&mut parts.headers, parts.version, &client, id);
        if let Some(chain) = chain {
            parts.headers.insert(X_FORWARDED_FOR, chain);
        }
        if !self.upstream.target.preserve_host {
            parts.headers.insert(HOST, self.upstream.target.authority.clone());
        }
        for (name, value) in extra.set {
            parts.headers.insert(name, value);
        }
        parts.uri = origin_form(parts.uri);
        parts.version = Version::HTTP_11;
        let (body, progress) = self.framed(&mut parts, body);
        let (lease, answer) = self.exchange(parts, body, progress).await?;
        self.received(lease, answer, client_end)
    }

    /// The body for the way up, with the one framing that belongs to it (SEC-01).
    fn framed(&self, parts: &mut Parts, body: OutgoingBody) -> (UploadBody, Option<Rc<Progress>>) {
        match body {
            OutgoingBody::Stream(incoming) if !incoming.is_end_stream() => {
                if !parts.headers.contains_key(CONTENT_LENGTH) {
                    parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                }
                let patience = self.upstream.target.first_byte_timeout;
                let (body, progress) = UploadBody::client(incoming, &self.public.limits, patience);
                (body, Some(progress))
            }
            OutgoingBody::Stream(_) => (UploadBody::Empty, None),
            OutgoingBody::Bytes(bytes) => {
                parts.headers.remove(EXPECT);
                parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                (UploadBody::Bytes(Some(bytes).filter(|bytes| !bytes.is_empty())), None)
            }
            OutgoingBody::Empty => {
                parts.headers.remove(EXPECT);
                parts.headers.remove(CONTENT_LENGTH);
                (UploadBody::Empty, None)
            }
        }
    }

    /// Sends once; a second time only as REL-34 allows.
    async fn exchange(
        &self,
        parts: Parts,
        body: UploadBody,
        progress: Option<Rc<Progress>>,
    ) -> Result<(Lease, Response<Incoming>), ForwardError> {
        let mut lease = match self.upstream.kept() {
            Some(lease) => lease,
            // Rare among the requests of a thread, and large.
            None => Box::pin(self.upstream.fresh()).await?,
        };
        let again = (lease.reused && parts.method.is_idempotent() && matches!(body, UploadBody::Empty))
            .then(|| copy_of(&parts));
        let failed = match self.send(&mut lease, Request::from_parts(parts, body), progress.as_deref()).await
        {
            Ok(answer) => return Ok((lease, answer)),
            Err(failed) => failed,
        };
        // A kept connection that the other side closed while it lay idle: it breaks without a word of answer.
        let stale = lease.reused && matches!(failed.error, ForwardError::Broken(_)) && !lease.heard();
        // What was never written may be sent whatever it is: that is no second time.
        let unsent = failed.unsent.map(|request| *request);
        let again = || again.map(|request| request.map(|()| UploadBody::Empty));
        let Some(request) = unsent.or_else(again).filter(|_| stale) else { return Err(failed.error) };
        self.metrics.request_retried();
        drop(lease);
        Box::pin(self.exchange_once_more(request, progress)).await
    }

    async fn exchange_once_more(
        &self,
        request: Request<UploadBody>,
        progress: Option<Rc<Progress>>,
    ) -> Result<(Lease, Response<Incoming>), ForwardError> {
        let mut lease = self.upstream.fresh().await?;
        let answer =
            self.send(&mut lease, request, progress.as_deref()).await.map_err(|failed| failed.error)?;
        Ok((lease, answer))
    }

    async fn send(
        &self,
        lease: &mut Lease,
        request: Request<UploadBody>,
        progress: Option<&Progress>,
    ) -> Result<Response<Incoming>, Failed> {
        let mut due = Deadline::within(self.upstream.target.first_byte_timeout);
        let mut answer = pin!(lease.send(request));
        loop {
            if let Ok(answer) = timeout(due.remaining(), answer.as_mut()).await {
                return answer.map_err(|Unanswered { error, unsent }| Failed { error: error.into(), unsent });
            }
            // While a long body still goes up, no answer is due yet.
            match progress.and_then(Progress::due) {
                Some(later) if !later.has_passed() => due = later,
                _ => return Err(Failed { error: ForwardError::FirstByteTimeout, unsent: None }),
            }
        }
    }

    fn received(
        &self,
        lease: Lease,
        mut answer: Response<Incoming>,
        client_end: Option<OnUpgrade>,
    ) -> Result<Response<AnswerBody>, ForwardError> {
        let application = hyper::upgrade::on(&mut answer);
        let (mut parts, body) = answer.into_parts();
        self.rules.pass_response(&mut parts.headers, parts.version);
        parts.version = Version::HTTP_11;
        if parts.status.is_informational() {
            let client = client_end.filter(|_| parts.status == StatusCode::SWITCHING_PROTOCOLS);
            let client = client.ok_or(ForwardError::Switched)?;
            switch::ask(&mut parts.headers);
            let tunnel = Box::new(Tunnel { client, application, lease, session: None });
            return Ok(Response::from_parts(parts, AnswerBody::Switched(Some(tunnel))));
        }
        let body = AnswerBody::upstream(body, lease, self.upstream.target.body_pause);
        Ok(Response::from_parts(parts, body))
    }

    /// Our answer to a request that could not be forwarded; counted and logged here.
    pub(crate) fn failed(&self, error: &ForwardError, asking: &Asking) -> Response<AnswerBody> {
        if let Some(kind) = error.kind() {
            self.metrics.upstream_failed(kind.as_str());
            tracing::warn!(
                request.id = asking.id().as_str(),
                upstream.failure = kind.as_str(),
                cause = %chain(error),
                "{error}"
            );
        }
        self.refuse(error.problem(), asking)
    }

    /// Our answer to a request that is refused; counted here.
    pub(crate) fn refuse(&self, problem: Problem, asking: &Asking) -> Response<AnswerBody> {
        self.metrics.request_refused(problem.as_str());
        self.audit.request_refused(problem.as_str(), Some(asking.id().as_str()), asking.client());
        let mut answer = AnswerBody::page(self.pages.problem(problem, &asking.asked()));
        if problem == Problem::Overloaded && !answer.headers().contains_key(RETRY_AFTER) {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if ends_connection(problem) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// After these nothing more is read: the rest of the connection has no sure meaning, or the client is too slow.
fn ends_connection(problem: Problem) -> bool {
    match problem {
        Problem::BadRequest
        | Problem::RequestTimeout
        | Problem::ContentTooLarge
        | Problem::UriTooLong
        | Problem::HeadTooLarge
        | Problem::NotImplemented
        | Problem::MethodNotAllowed
        | Problem::ExpectationFailed
        | Problem::Internal => true,
        Problem::Misdirected
        | Problem::Loop
        | Problem::BadGateway
        | Problem::GatewayTimeout
        | Problem::Overloaded
        | Problem::NotFound
        | Problem::Forbidden => false,
    }
}

fn origin_form(uri: Uri) -> Uri {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return uri;
    }
    let path = uri.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::from(path)
}

fn copy_of(parts: &Parts) -> Request<()> {
    let mut copy = Request::new(());
    *copy.method_mut() = parts.method.clone();
    *copy.uri_mut() = parts.uri.clone();
    *copy.headers_mut() = parts.headers.clone();
    copy
}
