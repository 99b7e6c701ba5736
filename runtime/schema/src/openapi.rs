//! The OpenAPI document of one deployment.

use serde_json::{Map, Value, json};

use crate::schema::Schema;

/// What there is to say about a deployment.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// Its name.
    pub name: &'a str,
    /// A name for people; without one, `name`.
    pub title: Option<&'a str>,
    /// What it does.
    pub description: Option<&'a str>,
    /// Which version of it is described, for example its revision.
    pub version: &'a str,
    /// Where the data plane is reached: `http://host:port`, without the route. It may be relative
    /// to the document.
    pub server_url: &'a str,
    /// The path that all its requests start with, for example `/` or `/models/heavy`.
    pub route: &'a str,
    /// The only path below the route that takes requests, by POST. Without one, all paths and
    /// methods do.
    pub endpoint: Option<&'a str>,
    /// The schema of requests.
    pub input: Option<&'a Schema>,
    /// The schema of responses.
    pub output: Option<&'a Schema>,
    /// Most requests that are served together, if any are.
    pub max_batch_size: Option<u32>,
}

/// The OpenAPI 3.1 document of a deployment.
///
/// Schemas are in `components`, their references changed to lead there, and an example of a request
/// is with the request.
pub fn openapi(described: &Described<'_>) -> Value {
    let mut info = json!({
        "title": described.title.unwrap_or(described.name),
        "version": described.version,
    });
    if let Some(description) = described.description {
        info["description"] = description.into();
    }
    json!({
        "openapi": "3.1.1",
        "info": info,
        "servers": [{ "url": described.server_url }],
        "paths": paths(described),
        "components": { "schemas": schemas(described), "responses": { "Error": error_response() } },
        "x-samovar-deployment": described.name,
    })
}

fn paths(described: &Described<'_>) -> Value {
    let route = described.route.trim_end_matches('/');
    if let Some(endpoint) = described.endpoint {
        let path = literal(&format!("{route}/{}", endpoint.trim_start_matches('/')));
        return object(path, json!({ "post": operation(described, "post") }));
    }
    let path = format!("{}/{{path}}", literal(route));
    let rest = json!({
        "name": "path", "in": "path", "required": true, "allowReserved": true,
        "description": "Any path. It may be empty and have slashes.",
        "schema": { "type": "string", "default": "" },
    });
    let item = json!({
        "parameters": [rest],
        "get": operation(described, "get"),
        "post": operation(described, "post"),
    });
    object(path, item)
}

/// Braces would be places to fill in.
fn literal(path: &str) -> String {
    path.replace('{', "%7B").replace('}', "%7D")
}

fn object(name: String, value: Value) -> Value {
    Value::Object(Map::from_iter([(name, value)]))
}

fn operation(described: &Described<'_>, method: &str) -> Value {
    let mut operation = json!({
        "operationId": method,
        "summary": format!("Calls {}", described.title.unwrap_or(described.name)),
        "responses": responses(described),
    });
    if let Some(size) = described.max_batch_size {
        operation["description"] =
            format!("A request is one item. Up to {size} requests are served together.").into();
    }
    if method != "get" {
        operation["requestBody"] = request_body(described);
    }
    operation
}

fn request_body(described: &Described<'_>) -> Value {
    let Some(input) = described.input else { return json!({ "content": { "*/*": {} } }) };
    let mut content = json!({ "schema": { "$ref": "#/components/schemas/Input" } });
    if let Some(example) = input.example() {
        content["example"] = example;
    }
    json!({ "required": true, "content": { "application/json": content } })
}

fn responses(described: &Described<'_>) -> Value {
    let content = match described.output {
        Some(_) => json!({
            "application/json": { "schema": { "$ref": "#/components/schemas/Output" } },
        }),
        None => json!({ "*/*": {} }),
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": "The answer", "content": content }));
    if described.input.is_some() {
        let reason = "The body does not match the input schema; `faults` says where and why";
        responses.insert("422".to_owned(), error(reason));
    }
    let failed = match described.output {
        Some(_) => "The deployment failed, or its answer does not match the output schema",
        None => "The deployment failed",
    };
    let others = [
        ("502", failed),
        ("503", "All replicas are busy and the queue is full, or replicas do not start"),
        ("504", "The request waited or ran for too long"),
        ("508", "The request is part of a chain of calls that waits for itself"),
    ];
    responses.extend(others.map(|(status, reason)| (status.to_owned(), error(reason))));
    Value::Object(responses)
}

fn error(reason: &str) -> Value {
    // Beside a reference a description replaces that of its target.
    json!({ "$ref": "#/components/responses/Error", "description": reason })
}

fn error_response() -> Value {
    json!({
        "description": "The request is not answered by the deployment",
        "headers": {
            "samovar-error": { "description": "The code", "schema": { "type": "string" } },
        },
        "content": {
            "application/json": { "schema": { "$ref": "#/components/schemas/Error" } },
        },
    })
}

fn schemas(described: &Described<'_>) -> Value {
    let mut schemas = Map::new();
    for (name, schema) in [("Input", described.input), ("Output", described.output)] {
        if let Some(schema) = schema {
            let place = format!("/components/schemas/{name}");
            schemas.insert(name.to_owned(), schema.moved(&place));
        }
    }
    schemas.insert("Error".to_owned(), error_schema());
    Value::Object(schemas)
}

fn error_schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": text("Stable, for programs"),
                "message": text("What happened, for people"),
                "faults": {
                    "type": "array",
                    "description": "What is wrong with a body that does not match its schema",
                    "items": {
                        "type": "object",
                        "required": ["pointer", "reason", "schema_pointer"],
                        "properties": {
                            "pointer": text("Where in the body, as a JSON pointer"),
                            "reason": text("What is wrong there"),
                            "schema_pointer": text("Which keyword of the schema says so"),
                        },
                    },
                },
            },
        } },
    })
}
