//! The steps by which a policy goes live and is taken back, on a running server.

use serde_json::{Value, json};

use crate::http::Reply;
use crate::server::Samovar;
use crate::status::list;

impl Samovar {
    /// Pushes `wasm` as the policy `name`.
    pub async fn push_policy_wasm(&self, name: &str, wasm: Vec<u8>) -> Value {
        let reply = self.admin.put(&format!("/v1/policies/{name}"), wasm).await;
        assert!(matches!(reply.status, 200 | 201), "{} {}", reply.status, reply.text());
        reply.json()
    }

    /// Asks what a candidate would have decided; `body` names it.
    pub async fn test_policy(&self, name: &str, body: &Value) -> Reply {
        self.admin.post(&format!("/v1/deployments/{name}/policy/test"), body.to_string()).await
    }

    /// Asks for a policy in the shadow of the live one.
    pub async fn shadow(&self, name: &str, policy: &str, config: Value) -> Reply {
        let wish = json!({"policy": policy, "config": config});
        self.admin.put_json(&shadow_path(name), &wish).await
    }

    /// The policy in the shadow.
    pub async fn get_shadow(&self, name: &str) -> Reply {
        self.admin.get(&shadow_path(name)).await
    }

    /// Takes the policy in the shadow away.
    pub async fn delete_shadow(&self, name: &str) -> Reply {
        self.admin.delete(&shadow_path(name)).await
    }

    /// Makes the shadow live.
    pub async fn promote(&self, name: &str) -> Reply {
        self.admin.post(&format!("/v1/deployments/{name}/policy/promote"), "").await
    }

    /// Makes an earlier policy live again: version `to`, or the one before the live one.
    pub async fn rollback(&self, name: &str, to: Option<u64>) -> Reply {
        let body = to.map_or(String::new(), |version| json!({"version": version}).to_string());
        self.admin.post(&format!("/v1/deployments/{name}/policy/rollback"), body).await
    }

    /// The policies a deployment has had, the live one last.
    pub async fn versions(&self, name: &str) -> Vec<Value> {
        let path = format!("/v1/deployments/{name}/policy/versions");
        let versions = self.admin.get(&path).await.expect(200).json();
        list(&versions, "/versions").to_vec()
    }

    /// Waits until the shadow is as `wanted`, and returns it.
    pub async fn wait_shadow(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let has = |status: &Value| wanted(&status["shadow"]);
        self.wait_status(name, &format!("a shadow with {what}"), has).await["shadow"].clone()
    }
}

fn shadow_path(name: &str) -> String {
    format!("/v1/deployments/{name}/policy/shadow")
}
