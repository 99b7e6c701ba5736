//! Routes of what operators do by hand.

use crate::api;

describe!(
    add,
    post,
    "/v1/deployments/{name}/replicas",
    "Starts more replicas at once; without a body, one.",
    [request_body = api::AddReplicas,],
    200,
    api::ReplicasChanged,
    "name"
);
describe!(
    set,
    put,
    "/v1/deployments/{name}/replicas",
    "Holds the number of replicas, whatever the policy says, until `resume`.",
    [request_body = api::SetReplicas,],
    200,
    api::ReplicasChanged,
    "name"
);
describe!(
    one,
    get,
    "/v1/deployments/{name}/replicas/{id}",
    "One replica.",
    [],
    200,
    api::Replica,
    "name",
    "id"
);
describe!(
    remove,
    delete,
    "/v1/deployments/{name}/replicas/{id}",
    "Drains a replica, which is not replaced.",
    [],
    200,
    api::ReplicasChanged,
    "name",
    "id"
);
describe!(
    restart,
    post,
    "/v1/deployments/{name}/replicas/{id}/restart",
    "Drains a replica and starts its successor.",
    [],
    200,
    api::ReplicasChanged,
    "name",
    "id"
);
describe!(
    pause,
    post,
    "/v1/deployments/{name}/pause",
    "Holds the number of replicas: the given one, or as many as are wanted now.",
    [request_body = api::Pause,],
    200,
    api::ReplicasChanged,
    "name"
);
describe!(
    resume,
    post,
    "/v1/deployments/{name}/resume",
    "Lets the policy decide again.",
    [],
    200,
    api::ReplicasChanged,
    "name"
);
describe!(
    decide,
    post,
    "/v1/deployments/{name}/decide",
    "Asks the policy now and answers with its decision.",
    [],
    200,
    api::Decision,
    "name"
);
describe!(
    ready,
    get,
    "/v1/deployments/{name}/ready",
    "Whether the deployment is ready by its own rule; 503 with the reason if not.",
    [],
    200,
    api::Readiness,
    "name"
);
describe!(
    invoke,
    post,
    "/v1/deployments/{name}/invoke/{path}",
    "Calls the handler by any method. `samovar-override` has limits and environment of this call.",
    [],
    200,
    String,
    "name",
    "path"
);
describe!(
    scale_externally,
    post,
    "/api/v1/applications/{application}/deployments/{deployment}/scale",
    "Ray Serve's external scaling endpoint.",
    [request_body = api::ExternalScale,],
    200,
    api::ExternallyScaled,
    "application",
    "deployment"
);
