//! Commands, all of them real ones.

use std::{fs, path::Path, time::Duration};

use samovar_fleet::{Action, Failure, Hook, Settings};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{fleet, request, settings};

/// A shell script whose `$1` is a folder of its own.
fn shell(script: &str, folder: &TempDir) -> Settings {
    let folder = folder.path().to_str().unwrap().to_owned();
    let args = vec!["-c".to_owned(), script.to_owned(), "sh".to_owned(), folder];
    settings(Hook::Command { program: "sh".to_owned(), args, cwd: None })
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

async fn create(settings: Settings) -> Result<samovar_fleet::Answer, samovar_fleet::FleetError> {
    fleet(settings).call(&request(Action::Create)).await
}

#[tokio::test]
async fn request_arrives_as_json_and_as_variables() {
    let script = r#"cat > "$1/json"; env > "$1/env"; echo '{"machine": 12, "note": "small"}'"#;
    let folder = folder();
    let answer = create(shell(script, &folder)).await.unwrap();
    assert_eq!((answer.machine.as_deref(), answer.note.as_deref()), (Some("12"), Some("small")));
    let json: serde_json::Value = serde_json::from_str(&read(&folder, "json")).unwrap();
    assert_eq!(json["token"], "join-me");
    assert_eq!(json["action"], "create");
    let env = read(&folder, "env");
    for line in [
        "SAMOVAR_FLEET_ACTION=create",
        "SAMOVAR_FLEET_KEY=chat-7-1",
        "SAMOVAR_FLEET_DEPLOYMENT=chat",
        "SAMOVAR_FLEET_WORKER_ID=7",
        "SAMOVAR_FLEET_TOKEN=join-me",
        "SAMOVAR_FLEET_REPORT_ADDR=http://127.0.0.1:9/workers",
        "SAMOVAR_FLEET_DEVICES=1",
        "SAMOVAR_FLEET_REASON=load 3.0",
        "SAMOVAR_FLEET_MACHINE=",
    ] {
        assert!(env.lines().any(|l| l == line), "{line} is not in\n{env}");
    }
}

#[tokio::test]
async fn no_answer_is_an_answer_and_input_need_not_be_read() {
    let hook = Hook::Command { program: "true".to_owned(), args: Vec::new(), cwd: None };
    assert_eq!(create(settings(hook)).await.unwrap(), samovar_fleet::Answer::default());
}

#[tokio::test]
async fn folder_is_where_the_command_runs() {
    let folder = folder();
    let cwd = Some(folder.path().to_owned());
    let args = vec!["here".to_owned()];
    let hook = Hook::Command { program: "touch".to_owned(), args, cwd };
    create(settings(hook)).await.unwrap();
    assert!(folder.path().join("here").exists());
}

#[tokio::test]
async fn temporary_failure_is_tried_again_with_the_same_key() {
    let script = r#"echo "$SAMOVAR_FLEET_KEY" >> "$1/keys"
        [ $(wc -l < "$1/keys") -ge 3 ] || { echo no room >&2; exit 75; }
        echo '{"machine": "i-9"}'"#;
    let folder = folder();
    let mut told = Vec::new();
    let fleet = fleet(shell(script, &folder));
    let answer = fleet
        .call_telling(&request(Action::Create), |setback| told.push(setback.to_string()))
        .await
        .unwrap();
    assert_eq!(answer.machine.as_deref(), Some("i-9"));
    assert_eq!(read(&folder, "keys"), "chat-7-1\n".repeat(3));
    assert_eq!(told.len(), 2);
    let start = "attempt 1: the command ended with exit code 75: no room; again in ";
    assert!(told[0].starts_with(start), "{told:?}");
}

#[tokio::test]
async fn attempts_of_a_create_are_counted() {
    let folder = folder();
    let error = create(shell(r#"echo x >> "$1/calls"; exit 75"#, &folder)).await.unwrap_err();
    assert_eq!(read(&folder, "calls"), "x\n".repeat(3));
    assert_eq!(
        error.to_string(),
        "worker 7 of chat was not created in 3 attempts: the command ended with exit code 75",
    );
}

#[tokio::test]
async fn permanent_failure_ends_a_create_with_the_last_line_of_the_error() {
    let script = r#"echo x >> "$1/calls"; printf 'Traceback\nno such flavor\n\n' >&2; exit 3"#;
    let folder = folder();
    let error = create(shell(script, &folder)).await.unwrap_err();
    assert_eq!(read(&folder, "calls"), "x\n");
    assert_eq!(
        error.to_string(),
        "worker 7 of chat was not created: the command ended with exit code 3: no such flavor",
    );
}

#[tokio::test]
async fn destroy_goes_on_where_a_create_stops() {
    let script = r#"echo x >> "$1/calls"; [ $(wc -l < "$1/calls") -ge 6 ]"#;
    let folder = folder();
    fleet(shell(script, &folder)).call(&request(Action::Destroy)).await.unwrap();
    assert_eq!(read(&folder, "calls"), "x\n".repeat(6));
}

#[tokio::test]
async fn destroy_is_given_up_at_its_deadline_and_names_the_machine() {
    let folder = folder();
    let destroy_deadline = Duration::from_millis(100);
    let settings = Settings { destroy_deadline, ..shell("echo gone >&2; exit 1", &folder) };
    let error = fleet(settings).call(&request(Action::Destroy)).await.unwrap_err();
    assert_eq!(error.machine.as_deref(), Some("i-1"));
    let text = error.to_string();
    assert!(text.starts_with("machine i-1 of worker 7 of chat was not destroyed"), "{text}");
    assert!(text.ends_with("may still cost money: the command ended with exit code 1: gone"));
}

#[tokio::test]
async fn command_that_is_not_there_is_told_at_once() {
    let hook = |program: &str, cwd: Option<&str>| {
        let cwd = cwd.map(Into::into);
        settings(Hook::Command { program: program.to_owned(), args: Vec::new(), cwd })
    };
    let error = create(hook("no-such-command", None)).await.unwrap_err();
    let start = "worker 7 of chat was not created: cannot start `no-such-command`: No such file";
    assert!(error.to_string().starts_with(start), "{error}");
    let error = create(hook("true", Some("/no/such/folder"))).await.unwrap_err();
    assert!(error.to_string().ends_with("the command's folder /no/such/folder is not there"));
}

#[tokio::test]
async fn signal_is_tried_again() {
    let script = r#"[ -e "$1/once" ] || { touch "$1/once"; kill -9 $$; }"#;
    create(shell(script, &folder())).await.unwrap();
}

#[tokio::test]
async fn garbage_is_not_taken_for_a_machine() {
    let error = create(shell("echo rented i-123", &folder())).await.unwrap_err();
    assert_eq!(error.attempts, 1);
    assert!(matches!(error.failure, Failure::Answer(_)));
    assert!(error.to_string().ends_with("it begins with `rented i-123`"), "{error}");
}

#[tokio::test]
async fn huge_output_is_read_to_its_end_and_refused() {
    let script = r#"head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; touch "$1/end""#;
    let folder = folder();
    let error = create(shell(script, &folder)).await.unwrap_err();
    assert!(matches!(error.failure, Failure::TooLarge), "{error}");
    assert!(folder.path().join("end").exists());
}

#[tokio::test]
async fn what_a_command_leaves_running_does_not_hold_it_up() {
    let script = r#"sleep 600 & echo $! > "$1/pid"; echo '{"machine": "i-9"}'"#;
    let folder = folder();
    let answer = create(shell(script, &folder)).await.unwrap();
    assert_eq!(answer.machine.as_deref(), Some("i-9"));
    let pid = read(&folder, "pid").trim().parse().unwrap();
    assert!(is_running(pid), "a worker that was started must stay");
    kill(pid);
    ends(pid).await;
}

/// Writes the numbers of its two children when both are there, and then hangs.
const HANG: &str = r#"trap '' TERM; sleep 600 & echo $! > "$1/new"
    sh -c 'trap "" TERM HUP; sleep 600; true' & echo $! >> "$1/new"
    mv "$1/new" "$1/$$.pids"; wait"#;

/// The children of all attempts so far.
fn pids(folder: &Path) -> Vec<i32> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let whole = files.filter(|path| path.extension().is_some_and(|e| e == "pids"));
    let text: String = whole.map(|path| fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|pid| pid.parse().unwrap()).collect()
}

#[tokio::test]
async fn time_out_ends_the_command_with_its_children_and_is_tried_again() {
    // A busy machine may need longer until the script has its children.
    for seconds in [1, 4, 16] {
        let folder = folder();
        let timeout = Duration::from_secs(seconds);
        let settings = Settings { timeout, attempts: 2, ..shell(HANG, &folder) };
        let error = create(settings).await.unwrap_err();
        assert_eq!(error.attempts, 2);
        assert!(matches!(error.failure, Failure::TimedOut(t) if t == timeout), "{error}");
        let pids = pids(folder.path());
        if pids.len() == 4 {
            for pid in pids {
                ends(pid).await;
            }
            return;
        }
    }
    panic!("the script never came to its children");
}

#[tokio::test]
async fn dropping_the_call_ends_the_command_with_its_children() {
    let folder = folder();
    let call = tokio::spawn(create(shell(HANG, &folder)));
    let pids = loop {
        let pids = pids(folder.path());
        if pids.len() == 2 {
            break pids;
        }
        sleep(Duration::from_millis(5)).await;
    };
    assert!(pids.iter().all(|&pid| is_running(pid)));
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    for pid in pids {
        ends(pid).await;
    }
}

#[tokio::test]
async fn dry_run_calls_nothing() {
    let folder = folder();
    let settings = Settings { dry_run: true, ..shell(r#"touch "$1/called""#, &folder) };
    let fleet = fleet(settings);
    let answer = fleet.call(&request(Action::Create)).await.unwrap();
    assert_eq!(answer.machine.as_deref(), Some("dry-run-chat-7-1"));
    let note = answer.note.unwrap();
    assert!(note.starts_with("dry run: would create worker 7 of chat"), "{note}");
    assert!(!note.contains("join-me"));
    let destroyed = fleet.call(&request(Action::Destroy)).await.unwrap();
    assert_eq!(destroyed.machine, None);
    assert!(destroyed.note.unwrap().contains("destroy machine i-1"));
    assert!(!folder.path().join("called").exists());
}

/// Whether the process exists and is no zombie that only waits for its parent.
fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Waits until the process is gone; only a failing test waits long.
async fn ends(pid: i32) {
    let started = Instant::now();
    while is_running(pid) {
        assert!(started.elapsed() < Duration::from_secs(30), "process {pid} is still there");
        sleep(Duration::from_millis(5)).await;
    }
}
