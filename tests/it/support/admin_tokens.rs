//! Tokens of the admin API, and a Crossfade that takes them.

use super::{crossfade::Crossfade, scene::Scene};

pub(crate) const VIEWER: &str = "canary-viewer-token-4Tq8Zb1Lr6Wn3Xv0Ks7Pd";
pub(crate) const OPERATOR: &str = "canary-operator-token-9Hy2Mc5Ga8Fj1Qu4Ew7Ri";

/// The section, beside what the scene's own `admin` says.
pub(crate) const TOKENS: &str = "admin:
  tokens:
    - {name: dashboard, role: viewer, token: {env: VIEWER_TOKEN}}
    - {name: on-call, role: operator, token: {env: OPERATOR_TOKEN}}
";

/// Starts Crossfade with a viewer's and an operator's token.
pub(crate) fn with_tokens(scene: &Scene, environment: &[(&str, &str)]) -> Crossfade {
    let configuration = scene.configuration().replacen("admin:\n", TOKENS, 1);
    let tokens = [("VIEWER_TOKEN", VIEWER), ("OPERATOR_TOKEN", OPERATOR)];
    let environment: Vec<(&str, &str)> = environment.iter().chain(&tokens).copied().collect();
    Scene::start_as(&configuration, &environment)
}
