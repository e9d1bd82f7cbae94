//! Crossfade as a mere proxy: nobody signs in, nothing else is needed.

use std::net::SocketAddr;

use super::{crossfade::Crossfade, ports};

pub(crate) const HOST: &str = "app.example.test";

/// Before an application. `limits` goes into `public.limits`, `more` into `public`, both as YAML in flow style.
pub(crate) fn proxy(application: SocketAddr, limits: &str, more: &str) -> Crossfade {
    let listen = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let config = format!(
        "public:
  url: http://{listen}
  listen: {listen}
  allowed_hosts: ['{listen}', {HOST}]
  development: true
  threads: 2
  limits: {{drain_wait: 10ms, {limits}}}
{more}
admin: {{listen: '127.0.0.1:0'}}
upstream: {{url: 'http://{application}'}}
legacy: {{sources: [{{name: app, upstream: {{}}, mfa: none}}]}}
sign_in:
  routes:
    - name: form
      path: /login
      form: {{login: l, password: p}}
      rejected: {{redirect: /login}}
      success: [{{status: [302]}}, {{sets_cookie: sid}}]
  who_am_i: {{path: /me, source: app, id: /id, email: /email}}
scalekit:
  environment_url: http://127.0.0.1:9
  client_id: skc_1
  client_secret: {{env: KEY}}
  default_organization: {{external_id: main, display_name: Main}}
rollout: {{cutover: 0%, salt: {{env: KEY}}}}
session: {{keys: [{{env: KEY}}]}}
store: {{embedded: {{path: state.redb}}}}
telemetry: {{subject_key: {{env: KEY}}}}
"
    );
    Crossfade::serve_with(&config, &[("KEY", &"k".repeat(48))])
}
