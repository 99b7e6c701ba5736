//! The store against real folders. What needs limits of a whole process runs in a child process.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, BufRead, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use super::*;

const MIB: u64 = 1 << 20;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn upload(store: &Store, bytes: &[u8]) -> Uploaded {
    let mut upload = store.begin_upload(64 * MIB).unwrap();
    bytes.chunks(1000).for_each(|chunk| upload.write(chunk).unwrap());
    upload.finish().unwrap()
}

fn component(uploaded: &Uploaded) -> ComponentRecord {
    ComponentRecord {
        digest: uploaded.digest(),
        kind: "handler".into(),
        world: "wasi:http/proxy@0.2".into(),
        size_bytes: uploaded.size_bytes(),
        imports: vec!["wasi:io/streams@0.2.12".into()],
        exports: vec![],
        created_at_ms: 1,
    }
}

fn add(store: &Store, bytes: &[u8]) -> Digest {
    let uploaded = upload(store, bytes);
    let record = component(&uploaded);
    store.commit_component(uploaded, record.clone()).unwrap();
    record.digest
}

fn deployment(name: &str, component: Digest) -> DeploymentRecord {
    let policy = PolicyUse {
        name: "lightning".into(),
        digest: Digest::of(b"built in"),
        config: json!({"a": 1}),
    };
    DeploymentRecord {
        name: name.into(),
        revision: 1,
        spec: JsonText::of(&json!({"replicas": {"min": 0, "max": 8}})),
        component: Some(component),
        policy,
        policy_versions: Vec::new(),
        held: None,
        shadow: None,
        created_at_ms: 1,
        updated_at_ms: 2,
    }
}

fn policy(name: &str, digest: Digest) -> PolicyRecord {
    PolicyRecord {
        name: name.into(),
        digest,
        description: json!({"version": "1"}),
        created_at_ms: 3,
    }
}

fn add_code(store: &Store, key: &str, code: &[u8]) {
    let tmp = store.begin_code(key);
    fs::write(&tmp, code).unwrap();
    store.commit_code(key, &tmp).unwrap();
    assert!(!tmp.exists());
}

fn artifact(store: &Store, digest: &Digest) -> PathBuf {
    store.folder().join("artifacts").join(format!("{}.wasm", digest.hex()))
}

fn files(folder: impl AsRef<Path>) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// Runs the test `name` of this module in a process of its own, which finds `folder` in `CHILD`.
fn in_child(name: &str, folder: &Path) -> bool {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("store::tests::{name}"), "--nocapture", "--test-threads=1"])
        .env("CHILD", folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

fn limit_file_size(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    #[expect(unsafe_code, reason = "there is no safe call for this")]
    // SAFETY: the pointer is to a live value; the limit concerns this test's own process.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
    assert_eq!(result, 0);
}

#[test]
fn everything_is_there_after_reopening() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let digest = add(&store, b"component");
    store.put_deployment(deployment("hello", digest)).unwrap();
    store.put_policy(policy("mine", digest)).unwrap();
    add_code(&store, "key", b"machine code");
    let (components, deployments, policies) =
        (store.components(), store.deployments(), store.policies());
    assert_eq!((components.len(), deployments.len(), policies.len()), (1, 1, 1));
    drop(store);

    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.components(), components);
    assert_eq!(store.component(&digest).unwrap(), components[0]);
    assert_eq!(store.deployments(), deployments);
    assert_eq!(store.deployment("hello").unwrap(), deployments[0]);
    assert_eq!(store.policies(), policies);
    assert_eq!(store.policy("mine").unwrap(), policies[0]);
    assert_eq!(store.read_component(&digest).unwrap(), b"component");
    let code = store.load_code("key").unwrap().unwrap();
    assert_eq!(fs::read(code).unwrap(), b"machine code");
}

#[test]
fn digest_is_the_sha256_of_all_chunks() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let uploaded = upload(&store, &[7; 4321]);
    assert_eq!(uploaded.digest(), Digest::of(&[7; 4321]));
    assert_eq!(uploaded.size_bytes(), 4321);
    assert_eq!(fs::read(uploaded.path()).unwrap(), [7; 4321]);
}

#[test]
fn unfinished_and_uncommitted_uploads_leave_nothing() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let mut unfinished = store.begin_upload(MIB).unwrap();
    unfinished.write(b"half").unwrap();
    let uncommitted = upload(&store, b"whole");
    assert_eq!(files(folder.path().join("tmp")), 2);
    assert_eq!(files(folder.path().join("artifacts")), 0);
    assert!(store.component(&uncommitted.digest()).is_none());
    drop((unfinished, uncommitted));
    assert_eq!(files(folder.path().join("tmp")), 0);
}

#[test]
fn leftovers_of_a_killed_process_are_removed_at_start() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    add_code(&store, "known", b"code");
    drop(store);
    fs::write(folder.path().join("tmp/upload-abc"), b"half").unwrap();
    fs::create_dir(folder.path().join("tmp/some-folder")).unwrap();
    fs::write(folder.path().join("code/moved-but-not-noted.cwasm"), b"code").unwrap();

    let store = Store::open(folder.path()).unwrap();
    assert_eq!(files(folder.path().join("tmp")), 0);
    assert_eq!(files(folder.path().join("code")), 1);
    assert!(store.load_code("known").unwrap().is_some());
}

#[test]
fn too_large_upload_is_refused_and_names_the_limit() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let mut upload = store.begin_upload(10).unwrap();
    upload.write(b"0123456789").unwrap();
    let error = upload.write(b"x").unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit_bytes: 10 }));
    assert_eq!(error.to_string(), "upload is larger than the limit of 10 bytes");
}

#[test]
fn damaged_component_is_never_served_and_an_upload_repairs_it() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let digest = add(&store, b"component");
    let path = artifact(&store, &digest);
    for damage in [b"compOnent".as_slice(), b"comp", b""] {
        fs::write(&path, damage).unwrap();
        let error = store.read_component(&digest).unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupt { digest: d, path: p } if *d == digest && *p == path)
        );
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.read_component(&digest), Err(StoreError::Corrupt { .. })));

    let again = upload(&store, b"component");
    let record = ComponentRecord { created_at_ms: 99, ..component(&again) };
    assert!(!store.commit_component(again, record).unwrap(), "it is not new");
    assert_eq!(store.read_component(&digest).unwrap(), b"component");
    assert_eq!(store.component(&digest).unwrap().created_at_ms, 1);
}

#[test]
fn damaged_code_is_removed_and_can_be_made_again() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    add_code(&store, "key", b"machine code");
    assert!(store.load_code("unknown").unwrap().is_none());
    assert!(store.load_code("key").unwrap().is_some());
    let path = store.code_path("key");
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"!").unwrap();
    assert!(store.load_code("key").unwrap().is_none());
    assert!(!path.exists());
    assert!(store.load_code("key").unwrap().is_none(), "and stays away");

    add_code(&store, "key", b"new code");
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(fs::read(store.load_code("key").unwrap().unwrap()).unwrap(), b"new code");
    fs::write(store.code_path("key"), b"new cod3").unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert!(store.load_code("key").unwrap().is_none());
}

#[test]
fn sweeping_removes_code_that_is_not_wanted() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    add_code(&store, "a-v47", b"old");
    add_code(&store, "a-v48", b"new");
    assert_eq!(store.sweep_code(|key| key.ends_with("v48")).unwrap(), 1);
    assert!(store.load_code("a-v47").unwrap().is_none());
    assert!(store.load_code("a-v48").unwrap().is_some());
    assert_eq!(files(folder.path().join("code")), 1);
}

#[test]
#[should_panic(expected = "no plain file name")]
fn code_key_cannot_leave_the_folder() {
    let folder = folder();
    Store::open(folder.path()).unwrap().code_path("../meta");
}

#[test]
fn second_open_of_a_folder_is_refused_by_name() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).err().unwrap();
    assert!(matches!(error, StoreError::Locked { .. }));
    let name = folder.path().canonicalize().unwrap();
    assert!(error.to_string().contains(name.to_str().unwrap()), "{error}");
    drop(store);
    Store::open(folder.path()).unwrap();
}

#[test]
fn useless_folder_is_refused_by_name() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    for useless in [file.as_path(), &file.join("below"), Path::new("/proc/samovar")] {
        let error = Store::open(useless).err().unwrap();
        assert!(matches!(error, StoreError::Unreadable { .. }), "{error:?}");
        assert!(error.to_string().contains(useless.to_str().unwrap()), "{error}");
    }
}

#[test]
fn broken_database_is_reported_with_its_path() {
    let folder = folder();
    drop(Store::open(folder.path()).unwrap());
    fs::write(folder.path().join("meta.redb"), vec![7; 1 << 16]).unwrap();
    let error = Store::open(folder.path()).err().unwrap();
    assert!(error.to_string().contains("meta.redb"), "{error:?}");
}

#[test]
fn component_in_use_stays_until_nobody_uses_it() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let digest = add(&store, b"component");
    let code_key = format!("{}-48", digest.hex());
    add_code(&store, &code_key, b"code");
    store.put_deployment(deployment("hello", digest)).unwrap();
    store.put_policy(policy("mine", digest)).unwrap();
    let error = store.delete_component(&digest).unwrap_err().to_string();
    assert!(error.ends_with("is in use by deployment hello, policy mine"), "{error}");
    assert_eq!(store.component_users(&digest).len(), 2);

    store.delete_deployment("hello").unwrap();
    store.delete_policy("mine").unwrap();
    store.delete_component(&digest).unwrap();
    assert!(store.component(&digest).is_none());
    assert!(!artifact(&store, &digest).exists());
    assert!(!store.code_path(&code_key).exists());
    assert!(matches!(store.read_component(&digest), Err(StoreError::NotFound { .. })));
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert!(store.components().is_empty() && store.deployments().is_empty());
}

#[test]
fn component_that_scales_a_deployment_is_in_use() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let (handler, scaler) = (add(&store, b"handler"), add(&store, b"policy"));
    let mut record = deployment("hello", handler);
    record.policy.digest = scaler;
    store.put_deployment(record).unwrap();
    assert!(matches!(store.delete_component(&scaler), Err(StoreError::InUse { .. })));
}

#[test]
fn unknown_names_are_not_found() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let unknown = Digest::of(b"unknown");
    let error = store.put_deployment(deployment("hello", unknown)).unwrap_err();
    assert_eq!(error.to_string(), format!("no component {unknown}"));
    assert!(matches!(store.put_policy(policy("p", unknown)), Err(StoreError::NotFound { .. })));
    assert_eq!(store.delete_deployment("x").unwrap_err().to_string(), "no deployment x");
    assert_eq!(store.delete_policy("x").unwrap_err().to_string(), "no policy x");
    assert!(matches!(store.delete_component(&unknown), Err(StoreError::NotFound { .. })));
}

/// A file size limit stands in for a full disk: the error class is the same, and the test needs no
/// rights.
#[test]
fn full_disk_fails_writes_but_not_reads() {
    let Some(child) = env::var_os("CHILD") else {
        let folder = folder();
        assert!(in_child("full_disk_fails_writes_but_not_reads", folder.path()));
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.deployment("hello").unwrap().revision, 7, "the last acknowledged one");
        assert!(store.deployment("unacknowledged").is_none());
        return;
    };
    ignore_sigxfsz();
    let store = Store::open(child).unwrap();
    let digest = add(&store, &[1; 5000]);
    store.put_deployment(deployment("hello", digest)).unwrap();

    limit_file_size(0);
    let mut failing = store.begin_upload(MIB).unwrap();
    assert!(matches!(failing.write(b"x"), Err(StoreError::Full { .. })));
    for _ in 0..2 {
        let mut changed = deployment("hello", digest);
        changed.revision = 2;
        assert!(matches!(store.put_deployment(changed), Err(StoreError::Full { .. })));
        let unacknowledged = deployment("unacknowledged", digest);
        assert!(matches!(store.put_deployment(unacknowledged), Err(StoreError::Full { .. })));
    }
    assert_eq!(store.deployment("hello").unwrap().revision, 1);
    assert_eq!(store.read_component(&digest).unwrap(), [1; 5000]);
    assert_eq!(store.deployments().len(), 1);

    limit_file_size(libc::RLIM_INFINITY);
    let mut changed = deployment("hello", digest);
    changed.revision = 7;
    store.put_deployment(changed).unwrap();
    assert_eq!(store.deployment("hello").unwrap().revision, 7);
}

/// The limit lies inside what an upload and a commit write, at many places.
#[test]
fn failure_at_any_point_leaves_an_openable_store() {
    let Some(child) = env::var_os("CHILD") else {
        let folder = folder();
        assert!(in_child("failure_at_any_point_leaves_an_openable_store", folder.path()));
        return;
    };
    ignore_sigxfsz();
    let mut store = Store::open(&child).unwrap();
    let digest = add(&store, b"component");
    let base = fs::metadata(store.folder().join("meta.redb")).unwrap().len();
    let mut acknowledged = 0;
    for round in 0..60 {
        limit_file_size(base / 2 + round * base / 40);
        let mut record = deployment("hello", digest);
        record.revision = round + 1;
        let padding = "x".repeat(usize::try_from(round * 20_000).unwrap());
        record.spec = JsonText::of(&json!({ "padding": padding }));
        if store.put_deployment(record).is_ok() {
            acknowledged = round + 1;
        }
        assert_eq!(store.deployment("hello").map_or(0, |d| d.revision), acknowledged);
        limit_file_size(libc::RLIM_INFINITY);
        if round % 3 == 0 {
            drop(store);
            store = Store::open(&child).unwrap();
            let revision = store.deployment("hello").map_or(0, |d| d.revision);
            // The outcome of an unacknowledged write is open until the next acknowledged one.
            assert!(revision == acknowledged || revision == round + 1);
            acknowledged = revision;
        }
    }
    assert!(acknowledged > 0, "some write went through");
}

#[test]
fn killed_process_loses_nothing_it_acknowledged() {
    if let Some(child) = env::var_os("CHILD") {
        let store = Store::open(child).unwrap();
        let digest = add(&store, b"component");
        for revision in 1.. {
            let mut record = deployment("hello", digest);
            record.revision = revision;
            store.put_deployment(record).unwrap();
            // One write, so that the line is either there or not.
            io::stderr().write_all(format!("acknowledged {revision}\n").as_bytes()).unwrap();
        }
    }
    let folder = folder();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::tests::killed_process_loses_nothing_it_acknowledged"])
        .arg("--nocapture")
        .env("CHILD", folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = io::BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "acknowledged 5"));
    child.kill().unwrap();
    let last = lines.last().unwrap_or_else(|| "acknowledged 5".into());
    child.wait().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let revision = store.deployment("hello").unwrap().revision;
    let acknowledged = last.strip_prefix("acknowledged ").unwrap().parse::<u64>().unwrap();
    // The kill may fall between a write and its line.
    assert!(revision == acknowledged || revision == acknowledged + 1, "{revision} {acknowledged}");
}
