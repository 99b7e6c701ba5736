//! The OpenAPI document. The functions here are never called; their attributes describe the routes
//! of `admin.rs`, and a test compares the two.

use crate::api;
use crate::spec::RawSpec;
use axum::response::Json;
use utoipa::OpenApi;

/// `GET /openapi.json`.
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Samovar admin API",
        description = "Upload components, deploy handlers, choose scaling policies.",
    ),
    paths(
        info,
        put_component,
        list_components,
        get_component,
        delete_component,
        list_deployments,
        put_deployment,
        get_deployment,
        delete_deployment,
        set_policy,
        policy_versions,
        rollback_policy,
        promote_shadow,
        test_policy,
        set_shadow,
        get_shadow,
        delete_shadow,
        decisions,
        replicas,
        manual::add,
        manual::set,
        manual::one,
        manual::remove,
        manual::restart,
        manual::pause,
        manual::resume,
        manual::decide,
        manual::ready,
        manual::invoke,
        manual::scale_externally,
        join,
        machine,
        logs,
        requests,
        list_policies,
        put_policy,
        get_policy,
    )
)]
struct Document;

/// Makes a function that carries the description of one route.
macro_rules! describe {
    ($name:ident, $method:ident, $path:literal, $doc:literal,
     [$($body:tt)*], $status:literal, $answer:ty $(, $param:literal)*) => {
        #[utoipa::path(
            $method, path = $path, description = $doc, $($body)*
            params($(($param = String, Path)),*),
            responses(
                (status = $status, body = $answer),
                (status = "default", description = "An error", body = api::ErrorBody),
            ),
        )]
        #[expect(dead_code, reason = "only its attributes are used")]
        pub(super) fn $name() {}
    };
}

mod manual;

describe!(info, get, "/v1/info", "The server.", [], 200, api::Info);
describe!(
    put_component, post, "/v1/components",
    "Uploads a component, checks and compiles it. 201 if it is new, 200 if it was known.",
    [request_body(content = Vec<u8>, content_type = "application/wasm"),], 201, api::Component
);
describe!(list_components, get, "/v1/components", "All components.", [], 200, api::ComponentList);
describe!(
    get_component,
    get,
    "/v1/components/{digest}",
    "One component.",
    [],
    200,
    api::Component,
    "digest"
);
describe!(
    delete_component,
    delete,
    "/v1/components/{digest}",
    "Forgets a component that nothing uses.",
    [],
    204,
    (),
    "digest"
);
describe!(
    list_deployments,
    get,
    "/v1/deployments",
    "All deployments.",
    [],
    200,
    api::DeploymentList
);
describe!(
    put_deployment,
    put,
    "/v1/deployments/{name}",
    "Deploys a handler. Answers when the new revision is live: 201 if the name is new, else 200.",
    [request_body = RawSpec,],
    201,
    api::Deployment,
    "name"
);
describe!(
    get_deployment,
    get,
    "/v1/deployments/{name}",
    "One deployment.",
    [],
    200,
    api::Deployment,
    "name"
);
describe!(
    delete_deployment,
    delete,
    "/v1/deployments/{name}",
    "Takes no more requests, finishes those there are, forgets the deployment.",
    [],
    204,
    (),
    "name"
);
describe!(
    set_policy,
    put,
    "/v1/deployments/{name}/policy",
    "Makes a policy live, fed with the last minutes. On any failure the one before stays.",
    [request_body = api::SetPolicy,],
    200,
    api::PolicySwapped,
    "name"
);
describe!(
    policy_versions,
    get,
    "/v1/deployments/{name}/policy/versions",
    "The policies the deployment has had, newest last: that one is live.",
    [],
    200,
    api::PolicyVersions,
    "name"
);
describe!(
    rollback_policy,
    post,
    "/v1/deployments/{name}/policy/rollback",
    "Makes an earlier policy live again, with its settings; without a body, the one before.",
    [request_body = api::Rollback,],
    200,
    api::PolicySwapped,
    "name"
);
describe!(
    promote_shadow,
    post,
    "/v1/deployments/{name}/policy/promote",
    "Makes the policy in the shadow live. It goes on with the state it has.",
    [],
    200,
    api::PolicySwapped,
    "name"
);
describe!(
    test_policy,
    post,
    "/v1/deployments/{name}/policy/test",
    "What a policy would have decided in the last minutes. Changes nothing.",
    [request_body = api::TestPolicy,],
    200,
    api::PolicyTest,
    "name"
);
describe!(
    set_shadow,
    put,
    "/v1/deployments/{name}/policy/shadow",
    "Runs a policy beside the live one: told the same, compared, never obeyed.",
    [request_body = api::SetPolicy,],
    200,
    api::Shadow,
    "name"
);
describe!(
    get_shadow,
    get,
    "/v1/deployments/{name}/policy/shadow",
    "The policy in the shadow.",
    [],
    200,
    api::Shadow,
    "name"
);
describe!(
    delete_shadow,
    delete,
    "/v1/deployments/{name}/policy/shadow",
    "Takes the policy in the shadow away.",
    [],
    204,
    (),
    "name"
);
describe!(
    decisions,
    get,
    "/v1/deployments/{name}/decisions",
    "The last decisions, newest last; `limit` says how many.",
    [],
    200,
    api::DecisionList,
    "name"
);
describe!(
    replicas,
    get,
    "/v1/deployments/{name}/replicas",
    "The single replicas, and why the last ones failed.",
    [],
    200,
    api::ReplicaList,
    "name"
);
describe!(
    join,
    get,
    "/v1/deployments/{name}/join",
    "What a worker needs to join the deployment. The token opens nothing else.",
    [],
    200,
    api::Join,
    "name"
);
describe!(
    machine,
    get,
    "/v1/machine",
    "Places for replicas, accelerators, and who has them.",
    [],
    200,
    api::Machine
);
describe!(
    logs,
    get,
    "/v1/deployments/{name}/logs",
    "The last lines as one JSON object each; `limit` says how many, `follow=true` keeps sending.",
    [],
    200,
    api::LogLine,
    "name"
);
describe!(
    requests,
    get,
    "/v1/deployments/{name}/requests",
    "Requests as they come and end, as one JSON object each, until the caller leaves.",
    [],
    200,
    api::RequestEvent,
    "name"
);
describe!(list_policies, get, "/v1/policies", "All policies.", [], 200, api::PolicyList);
describe!(
    put_policy, put, "/v1/policies/{name}",
    "Uploads a policy under a name. Deployments that use the name keep what they have.",
    [request_body(content = Vec<u8>, content_type = "application/wasm"),], 201, api::Policy, "name"
);
describe!(get_policy, get, "/v1/policies/{name}", "One policy.", [], 200, api::Policy, "name");
describe!(
    delete_policy,
    delete,
    "/v1/policies/{name}",
    "Forgets a policy's name. Deployments that use it keep it.",
    [],
    204,
    (),
    "name"
);
