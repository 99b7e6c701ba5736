//! Sources in, configuration or error message out.

use std::fs;

use expect_test::{Expect, expect};

use super::*;

fn settings(toml: &str) -> ServerSettings {
    spec::read_toml(toml, "").unwrap()
}

/// Loads with `flags` and `file` written as TOML.
fn load_from(
    flags: &str,
    file: &str,
    token: Option<&str>,
) -> Result<(ServerConfig, Vec<String>), ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.toml");
    fs::write(&path, file).unwrap();
    load(Sources { flags: settings(flags), file: Some(path), token: token.map(str::to_owned) })
}

fn check_error(flags: &str, token: Option<&str>, expected: Expect) {
    let error = load_from(flags, "", token).unwrap_err();
    let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    expected.assert_eq(&format!("{error}{hint}"));
}

#[test]
fn without_anything_all_defaults_hold() {
    let sources = Sources { flags: ServerSettings::default(), file: None, token: None };
    let (config, warnings) = load(sources).unwrap();
    assert!(warnings.is_empty());
    expect![[r#"
        ServerConfig {
            listen: 127.0.0.1:8080,
            admin: 127.0.0.1:9090,
            data: "samovar-data",
            admin_token: None,
            drain_timeout: 30s,
            max_component_size: 67108864,
            compile_timeout: 120s,
            compile_memory: 2147483648,
            code_cache: 67108864,
            slots: 1000,
            devices: "auto",
            processes: true,
            workers_url: None,
            log_format: Text,
        }
    "#]]
    .assert_debug_eq(&config);
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let flags = "listen = '127.0.0.1:1111'\nslots = 7";
    let file = "listen = '127.0.0.1:2222'\nadmin = '127.0.0.1:3333'\ndrain_timeout = '5s'";
    let (config, _) = load_from(flags, file, None).unwrap();
    assert_eq!(config.listen.port(), 1111);
    assert_eq!(config.admin.port(), 3333);
    assert_eq!(config.drain_timeout, Duration::from_secs(5));
    assert_eq!(config.slots, 7);
    assert_eq!(config.max_component_size, 64 * MIB);
}

#[test]
fn paths_in_the_file_start_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.toml");
    fs::write(&path, "data = 'store'").unwrap();
    assert_eq!(ServerSettings::read(&path).unwrap().data, Some(folder.path().join("store")));
}

#[test]
fn public_admin_address_needs_a_token() {
    check_error(
        "admin = '0.0.0.0:9090'",
        None,
        expect![[r#"
        the admin API at 0.0.0.0:9090 can be reached from other machines, but there is no token
        hint: give it one with --admin-token-file FILE or the variable SAMOVAR_ADMIN_TOKEN, or use an address of this machine only, like 127.0.0.1:9090"#]],
    );
    load_from("admin = '0.0.0.0:9090'", "", Some("secret")).unwrap();
    for loopback in ["127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        load_from(&format!("admin = '{loopback}'"), "", None).unwrap();
    }
}

#[test]
fn tokens_come_from_flag_then_variable_then_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("  {name}\n")).unwrap();
        format!("admin_token_file = '{}'", path.display())
    };
    let (by_flag, by_file) = (write("by-flag"), write("by-file"));
    let token = |flags: &str, variable| {
        let (config, _) = load_from(flags, &by_file, variable).unwrap();
        config.admin_token.unwrap().expose().to_owned()
    };
    assert_eq!(token(&by_flag, Some("by-variable")), "by-flag");
    assert_eq!(token("", Some("by-variable")), "by-variable");
    assert_eq!(token("", None), "by-file");
}

#[test]
fn empty_tokens_are_refused() {
    check_error(
        "",
        Some(" \n"),
        expect![[r#"
        the variable SAMOVAR_ADMIN_TOKEN holds no usable token: it is empty
        hint: a token is one line of printable ASCII without spaces"#]],
    );
    check_error(
        "",
        Some("two words"),
        expect![[r#"
        the variable SAMOVAR_ADMIN_TOKEN holds no usable token: it has spaces or characters that are not ASCII
        hint: a token is one line of printable ASCII without spaces"#]],
    );
}

#[cfg(unix)]
#[test]
fn token_file_that_all_can_read_warns() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "secret").unwrap();
    for (mode, count) in [(0o600, 0), (0o644, 1)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut warnings = Vec::new();
        read_token(&path, &mut warnings).unwrap();
        assert_eq!(warnings.len(), count, "{warnings:?}");
    }
}

#[test]
fn values_that_are_not_allowed_are_named() {
    check_error("slots = 0", None, expect!["slots: `0` is not allowed, use 1 to 20000"]);
    check_error("slots = 20001", None, expect!["slots: `20001` is not allowed, use 1 to 20000"]);
    check_error(
        "max_component_size = '2GiB'",
        None,
        expect!["max_component_size: `2GiB` is not allowed, use 1KiB to 1GiB"],
    );
    check_error(
        "compile_timeout = '1ms'",
        None,
        expect!["compile_timeout: `1ms` is not allowed, use 1s to 1h"],
    );
    check_error(
        "compile_memory = '1MiB'",
        None,
        expect!["compile_memory: `1MiB` is not allowed, use 256MiB to 1TiB"],
    );
    check_error(
        "drain_timeout = '25h'",
        None,
        expect!["drain_timeout: `1d 1h` is not allowed, use 0s to 1d"],
    );
    check_error(
        "listen = '127.0.0.1:9090'",
        None,
        expect![[r#"
        the data plane and the admin API cannot both listen on 127.0.0.1:9090
        hint: change --listen or --admin"#]],
    );
}

#[test]
fn mistakes_in_files_are_named() {
    let error = |file: &str| {
        let error = load_from("", file, None).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    expect!["slot: there is no such key, use one of `listen`, `admin`, `data`, `admin_token_file`, `drain_timeout`, `max_component_size`, `compile_timeout`, `compile_memory`, `code_cache`, `slots`, `devices`, `processes`, `workers_url`, `log_format`"].assert_eq(&error("slot = 3"));
    expect!["listen: invalid socket address syntax"].assert_eq(&error("listen = 'localhost'"));
    expect!["log_format: unknown variant `xml`, expected `text` or `json`"]
        .assert_eq(&error("log_format = 'xml'"));
    expect![[r#"
        not TOML: TOML parse error at line 1, column 1
          |
        1 | = 3
          | ^
        unquoted keys cannot be empty, expected letters, numbers, `-`, `_`"#]]
    .assert_eq(&error("= 3"));
    let missing = Sources {
        flags: ServerSettings::default(),
        file: Some(PathBuf::from("no/such/file.toml")),
        token: None,
    };
    expect!["read no/such/file.toml"].assert_eq(&load(missing).unwrap_err().to_string());
}

#[test]
fn manifests_are_read() {
    let text = r#"
        [policies.mine]
        file = "policies/mine.wasm"
        [deployments.b]
        component = "b.wasm"
        replicas = "0..8"
        queue.max = 10
        [deployments.a]
        component = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    "#;
    let manifest = Manifest::parse(text, Path::new("dir")).unwrap();
    let [a, b] = manifest.deployments.as_slice() else { panic!("two deployments") };
    assert_eq!(a.component, ComponentSource::Uploaded(crate::spec::Digest::of(b"")));
    assert_eq!(b.component, ComponentSource::File(PathBuf::from("dir/b.wasm")));
    assert_eq!(b.name.as_str(), "b");
    assert_eq!(manifest.policies[0].file, PathBuf::from("dir/policies/mine.wasm"));
}

#[test]
fn folders_in_a_manifest_start_from_its_own() {
    let text = "[deployments.a]\nprocess = { command = 'x' }\n[deployments.b]\nprocess = { command = 'x', cwd = 'c' }";
    for folder in ["", "."] {
        let manifest = Manifest::parse(text, Path::new(folder)).unwrap();
        let here = std::env::current_dir().unwrap();
        let cwd = |index: usize| manifest.deployments[index].spec.process.clone().unwrap().cwd;
        assert_eq!([cwd(0).unwrap(), cwd(1).unwrap()], [here.clone(), here.join("c")]);
        assert_eq!(manifest.deployments[0].component, ComponentSource::None);
    }
}

#[test]
fn mistakes_in_manifests_are_named() {
    let error = |text: &str| Manifest::parse(text, Path::new("")).unwrap_err().to_string();
    expect!["there is no deployment and no policy in it"].assert_eq(&error(""));
    expect!["deployment: there is no such key, use one of `deployments`, `policies`"]
        .assert_eq(&error("[deployment.a]"));
    expect!["deployments.A: `A` is not a deployment name: use 1 to 63 characters of a-z, 0-9 and `-`, with a letter or digit at both ends"].assert_eq(&error("[deployments.A]\ncomponent = 'a.wasm'"));
    expect!["deployments.a.component: is missing"].assert_eq(&error("[deployments.a]"));
    expect!["deployments.a.component: `sha256:12` is not a digest: write `sha256:` and 64 lower-case hex digits"].assert_eq(&error("[deployments.a]\ncomponent = 'sha256:12'"));
    expect!["deployments.a.queue.max: `0` is not allowed, use 1 to 1000000"]
        .assert_eq(&error("[deployments.a]\ncomponent = 'a.wasm'\nqueue.max = 0"));
    expect!["deployments.a.queue.maximum: there is no such key, use one of `max`, `timeout`"]
        .assert_eq(&error("[deployments.a]\ncomponent = 'a.wasm'\nqueue.maximum = 1"));
    expect!["policies.a.path: there is no such key, use one of `file`"]
        .assert_eq(&error("[policies.a]\npath = 'a.wasm'"));
}
