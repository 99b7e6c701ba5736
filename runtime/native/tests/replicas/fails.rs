//! Every way to fail, and the words for it.

use crate::support::{Case, DEADLINE, warden, within};
use samovar_native::{Endpoint, Failure, Liveness, ReadyWhen, Replica};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Long enough for a program to begin, even on a machine that is busy.
const SOON: Duration = Duration::from_secs(4);

fn program(path: &str) -> Case {
    let mut case = Case::python("");
    case.plan.members[0].program = path.into();
    case
}

#[tokio::test]
async fn command_that_is_not_there() {
    let (failure, _) = program("no-such-command").fail().await;
    assert_eq!(failure.kind(), "not_found");
    assert_eq!(failure.to_string(), "command `no-such-command` not found in PATH");
    let (failure, _) = program("./no/such").fail().await;
    assert_eq!(failure.to_string(), "command `./no/such` does not exist");
}

#[tokio::test]
async fn command_that_cannot_be_executed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tool");
    let path = file.to_str().unwrap();
    fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    let (failure, _) = program(path).fail().await;
    assert_eq!(failure.kind(), "not_executable");
    assert!(failure.to_string().ends_with("the file is not executable"), "{failure}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let (failure, _) = program(path).fail().await;
    assert_eq!(failure.kind(), "not_executable");
    assert!(failure.to_string().contains("its interpreter"), "{failure}");
    let (failure, _) = program(folder.path().to_str().unwrap()).fail().await;
    assert!(failure.to_string().ends_with("it is a folder"), "{failure}");
}

#[tokio::test]
async fn folder_that_is_not_there() {
    let mut case = Case::python("");
    case.plan.members[0].cwd = Some("/no/such".into());
    let (failure, _) = case.fail().await;
    assert_eq!(failure.kind(), "bad_folder");
    assert_eq!(failure.to_string(), "working folder `/no/such` does not exist");
    let mut case = Case::python("");
    case.plan.members[0].cwd = Some("/dev/null".into());
    assert!(case.fail().await.0.to_string().ends_with("is not a folder"));
}

#[tokio::test]
async fn argument_that_the_system_refuses() {
    let mut case = Case::python("");
    case.plan.members[0].args.push("a\0b".into());
    assert_eq!(case.fail().await.0.kind(), "not_started");
}

#[tokio::test]
async fn exit_at_once_with_its_last_words() {
    let (failure, _) = Case::python("import torch_that_is_not_there").fail().await;
    let Failure::Exited { code: 1, .. } = failure else { panic!("{failure}") };
    let words = "its last words: ModuleNotFoundError: No module named 'torch_that_is_not_there'";
    assert!(failure.to_string().ends_with(words), "{failure}");
    let (failure, _) = Case::shell("echo only this; exit 3").fail().await;
    assert!(failure.to_string().starts_with("exited with code 3 after "), "{failure}");
    assert!(failure.to_string().ends_with("; its last words: only this"), "{failure}");
    let (failure, _) = Case::shell("exit 0").fail().await;
    assert!(matches!(failure, Failure::Exited { code: 0, last_line: None, .. }), "{failure:?}");
}

#[tokio::test]
async fn exit_while_a_child_holds_the_output() {
    let (failure, output) = Case::shell("sleep 1000 & echo broken >&2; exit 7").fail().await;
    let Failure::Exited { code: 7, last_line, .. } = failure else { panic!("{failure}") };
    assert_eq!(last_line.as_deref(), Some("broken"));
    assert_eq!(output.lines().len(), 1);
}

#[tokio::test]
async fn signal_is_named() {
    let (failure, _) = Case::shell("kill -SEGV $$").fail().await;
    assert_eq!(failure.kind(), "killed");
    assert!(failure.to_string().starts_with("was killed by SIGSEGV after"), "{failure}");
}

async fn not_ready(program: &str) -> (String, Endpoint) {
    let mut case = Case::python(program);
    case.plan.start_timeout = SOON;
    let endpoint = case.endpoint();
    let (failure, _) = case.fail().await;
    assert_eq!(failure.kind(), "not_ready");
    let text = failure.to_string();
    (text.strip_prefix("not ready after 4.0 s: ").expect("the time-out").to_owned(), endpoint)
}

#[tokio::test]
async fn never_ready_says_what_is_missing() {
    let (ill, lost, deaf, hung) = tokio::join!(
        not_ready("serve(503)"),
        not_ready("serve(404)"),
        not_ready("time.sleep(1000)"),
        not_ready("listener = listen()\ntime.sleep(1000)"),
    );
    assert_eq!(ill.0, "GET / answers 503");
    assert!(lost.0.starts_with("GET / answers 404; is this the path"), "{}", lost.0);
    assert_eq!(deaf.0, format!("nothing listens on {}", deaf.1));
    assert_eq!(hung.0, format!("{} accepts the connection and does not answer", hung.1));
    let mut case = Case::shell("exec sleep 1000");
    case.plan.start_timeout = SOON;
    case.plan.ready = ReadyWhen::Told(CancellationToken::new());
    let (failure, _) = case.fail().await;
    assert_eq!(failure.to_string(), "not ready after 4.0 s: nobody has reported it loaded");
}

#[tokio::test]
async fn another_port_is_found() {
    let program = "
listener = socket.create_server(('127.0.0.1', 0))
print('port', listener.getsockname()[1])
if os.fork():
    listener.close()
time.sleep(1000)";
    let mut case = Case::python(program);
    case.plan.start_timeout = SOON;
    let (failure, output) = case.fail().await;
    let port = output.after("port ").await;
    let Failure::ListensElsewhere { listens, .. } = &failure else { panic!("{failure}") };
    assert_eq!(*listens, [format!("127.0.0.1:{port}").parse().unwrap()]);
    assert!(failure.to_string().ends_with(&format!("but it listens on 127.0.0.1:{port}")));
}

#[tokio::test]
async fn garbage_ends_the_start_at_once() {
    let program = "
listener = listen()
while True:
    connection, _ = listener.accept()
    connection.sendall(b'220 smtp.example ready\\r\\n')
    connection.close()";
    let (failure, _) = Case::python(program).fail().await;
    assert_eq!(failure.kind(), "speaks_no_http");
    let text = failure.to_string();
    assert!(text.ends_with("speaks no HTTP: it answers `220 smtp.example ready\\r\\n`"), "{text}");
}

#[tokio::test]
async fn closing_is_not_answering() {
    let program = "
listener = listen()
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.close()";
    let mut case = Case::python(program);
    case.plan.start_timeout = SOON;
    let (failure, _) = case.fail().await;
    assert_eq!(failure.kind(), "speaks_no_http");
    assert!(failure.to_string().ends_with("it closes the connection without an answer"));
}

#[tokio::test]
async fn address_of_somebody_else() {
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut case = Case::python("serve()");
    case.plan.members[0].endpoint = Endpoint::Tcp(stranger.local_addr().unwrap());
    let (failure, output) = case.fail().await;
    assert_eq!(failure.kind(), "address_taken");
    assert!(output.lines().is_empty(), "nothing was started");
}

fn liveness() -> Option<Liveness> {
    let (interval, timeout) = (Duration::from_millis(20), DEADLINE);
    Some(Liveness { path: "/live".into(), interval, timeout, failures: 2 })
}

#[tokio::test]
async fn ready_replica_that_stops_answering_well() {
    let program = "
listener = listen()
for _ in range(5): answer(listener, 200)
serve(500, listener)";
    let mut case = Case::python(program);
    case.plan.liveness = liveness();
    let failure = case.start().await.failed().await;
    assert_eq!(failure.kind(), "unhealthy");
    assert_eq!(failure.to_string(), "unhealthy: GET /live answers 500, 2 times in a row");
}

#[tokio::test]
async fn ready_replica_that_hangs() {
    let mut case = Case::python("answer(listen(), 200)\nlistener = listen()\ntime.sleep(1000)");
    case.plan.liveness = liveness();
    case.plan.liveness.as_mut().unwrap().timeout = Duration::from_millis(100);
    let failure = case.start().await.failed().await;
    assert!(failure.to_string().contains("does not answer within 100 ms"), "{failure}");
}

#[tokio::test]
async fn ready_replica_that_is_well_stays() {
    let mut case = Case::python("serve()");
    case.plan.liveness = liveness();
    let running = case.start().await;
    let waited = tokio::time::timeout(Duration::from_millis(500), running.replica.failed()).await;
    assert!(waited.is_err(), "{waited:?}");
    running.end().await;
}

#[tokio::test]
async fn ready_replica_that_ends() {
    let program = "answer(listen(), 200)\nprint('enough', file=sys.stderr)\nsys.exit(4)";
    let running = Case::python(program).start().await;
    let failure = running.failed().await;
    assert!(matches!(failure, Failure::Exited { code: 4, .. }), "{failure}");
    assert_eq!(running.replica.failed().await, failure, "it can be asked again");
    within(running.replica.end()).await;
}

#[tokio::test]
async fn memory_of_all_its_processes_is_limited() {
    let program = "
answered = listen()
if os.fork() == 0:
    hog = b'x' * (100 << 20)
    time.sleep(1000)
serve(listener=answered)";
    let mut case = Case::python(program);
    case.plan.memory_max = Some(80 << 20);
    let result = Replica::start(warden(), case.plan, case.output).await;
    // It may be over before it is ready.
    let failure = match result {
        Ok(replica) => within(replica.failed()).await,
        Err(failure) => failure,
    };
    let Failure::OutOfMemory { used, max } = failure else { panic!("{failure}") };
    assert!(used > max && max == 80 << 20);
    assert!(failure.to_string().ends_with("its limit is 80.0 MiB"));
}
