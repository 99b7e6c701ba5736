//! New projects: what `samovar new` writes builds with `samovar build`, and works.

use std::path::{Path, PathBuf};

use samovar_tests::{Samovar, files};
use serde_json::json;

/// Makes and builds a project of this kind, and returns the component it gave.
async fn built(samovar: &Samovar, kind: &str) -> PathBuf {
    let name = format!("my-{kind}");
    samovar.cli().ok(&["new", kind, &name]).await;
    let project = samovar.folder().join(&name);
    let printed = samovar.cli().inside(&project).slow(&["build"]).await;
    let component = project.join(printed.trim());
    assert!(component.is_file(), "{printed:?} is not the path of a component");
    component
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

#[tokio::test]
async fn new_handler_builds_and_serves() {
    let samovar = Samovar::start().await;
    let component = built(&samovar, "handler").await;
    samovar.cli().ok(&["deploy", path(&component), "--name", "mine"]).await;
    assert!(!samovar.http.get("/mine").await.expect(200).body.is_empty());
}

#[tokio::test]
async fn new_policy_builds_and_decides() {
    let samovar = Samovar::start().await;
    let component = built(&samovar, "policy").await;
    samovar.cli().ok(&["policy", "push", path(&component), "--name", "mine"]).await;
    samovar.deploy("pool", "hello", json!({"scaling": {"interval": "50ms"}})).await;
    samovar.swap("pool", "mine", json!({})).await.expect(200);
    let decision = samovar.wait_decision("pool", "mine", |last| last["policy"] == "mine").await;
    assert!(decision["error"].is_null(), "{decision}");
}

#[tokio::test]
async fn new_project_never_overwrites() {
    let samovar = Samovar::start().await;
    let cli = samovar.cli();
    cli.ok(&["new", "handler", "mine"]).await;
    let before = files::below(&samovar.folder().join("mine"));
    let complaint = cli.fails(1, &["new", "policy", "mine"]).await;
    assert!(complaint.contains("mine"), "{complaint}");
    assert_eq!(files::below(&samovar.folder().join("mine")), before);
}
