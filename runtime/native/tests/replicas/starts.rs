//! Replicas that become ready, and what they find around them.

use crate::support::{Case, DEADLINE, within};
use samovar_native::{Endpoint, ReadyWhen, Replica};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn ready_when_it_answers_well() {
    let running = Case::python("time.sleep(0.2)\nserve()").start().await;
    assert!(matches!(running.replica.endpoint(), Endpoint::Tcp(_)));
    assert_eq!(running.pids().len(), 1);
    assert_eq!(running.end().await.notes(), [""; 0]);
}

#[tokio::test]
async fn loading_is_waited_for() {
    let program = "
listener = listen()
for _ in range(3): answer(listener, 503)
print('loaded')
serve(204, listener)";
    let running = Case::python(program).start().await;
    running.output.after("loaded").await;
    running.end().await;
}

#[tokio::test]
async fn any_answer_will_do_if_none_is_asked_for() {
    let mut case = Case::python("serve(404)");
    case.plan.ready = ReadyWhen::Answers;
    case.start().await.end().await;
}

#[tokio::test]
async fn told_from_outside() {
    let mut case = Case::shell("echo up; exec sleep 1000");
    let told = CancellationToken::new();
    case.plan.ready = ReadyWhen::Told(told.clone());
    let output = case.output.clone();
    let start = case.start();
    tokio::pin!(start);
    tokio::select! {
        _ = &mut start => panic!("nobody has told yet"),
        _ = output.after("up") => {}
    }
    told.cancel();
    start.await.end().await;
}

#[tokio::test]
async fn unix_socket_is_asked_like_a_port() {
    let lease = crate::support::warden().lease_socket().unwrap();
    let Endpoint::Unix(path) = lease.endpoint().clone() else { panic!("a socket") };
    let program = "
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ['SOCKET'])
listener.listen()
serve(listener=listener)";
    let mut case = Case::python(program);
    case.plan.members[0].endpoint = lease.endpoint().clone();
    case.plan.members[0].env.push(("SOCKET".into(), path.to_str().unwrap().into()));
    case.plan.leases.push(lease);
    // One that an earlier process left there does not stand in the way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let running = case.start().await;
    assert!(path.exists());
    running.end().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn processes_start_from_a_clean_slate() {
    let program = "
print('leads', os.getsid(0) == os.getpid() == os.getpgid(0))
print('descriptors', sorted(int(name) for name in os.listdir('/proc/self/fd'))[:4])
print('input', os.readlink('/proc/self/fd/0'))
print('oom', int(open('/proc/self/oom_score_adj').read()))
print('server', [name for name in os.environ if name.startswith('SAMOVAR_')])
print('folder', os.getcwd())
serve()";
    let mut case = Case::python(program);
    // One that is not closed by exec, as a careless library leaves it.
    let (reader, _writer) = std::io::pipe().unwrap();
    let leaky = rustix::io::dup(&reader).unwrap();
    case.plan.members[0].cwd = Some("/".into());
    case.plan.members[0].env.push(("SAMOVAR_TOKEN".into(), "given".into()));
    let own: i32 =
        std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    let running = case.start().await;
    let output = &running.output;
    assert_eq!(output.after("leads").await, " True");
    let descriptors = output.after("descriptors").await;
    // The fourth is the folder being listed.
    assert_eq!(descriptors, " [0, 1, 2, 3]");
    assert_eq!(output.after("input").await, " /dev/null");
    assert_eq!(output.after("oom").await, format!(" {}", (own + 100).min(1000)));
    assert_eq!(output.after("server").await, " ['SAMOVAR_TOKEN', 'SAMOVAR_REPLICA']");
    assert_eq!(output.after("folder").await, " /");
    drop(leaky);
    running.end().await;
}

#[tokio::test]
async fn signals_do_what_they_do_elsewhere() {
    let ours = std::fs::read_to_string("/proc/self/status").unwrap();
    let pipe = 1 << (13 - 1);
    let ignored = ours.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    assert_eq!(ignored & pipe, pipe, "this process ignores SIGPIPE, so there is something to see");
    // Python would ignore it, a shell does not.
    let command = "exec grep -E '^Sig(Ign|Blk)' /proc/self/status";
    let (_, output) = Case::shell(command).fail().await;
    for line in ["SigBlk:", "SigIgn:"] {
        assert_eq!(output.after(line).await.trim(), "0000000000000000", "{line}");
    }
}

#[tokio::test]
async fn start_that_is_given_up_leaves_nothing() {
    let program = "os.fork()\nprint('loading')\ntime.sleep(1000)";
    Case::python(program).give_up(async |output| drop(output.after("loading").await)).await;
    // Given up before the processes are there.
    for _ in 0..20 {
        Case::python(program).give_up(async |_| tokio::task::yield_now().await).await;
    }
}

#[tokio::test]
async fn slow_start_is_spoken_of() {
    let case = Case::python("time.sleep(1000)");
    let output = case.output.clone();
    let port = case.endpoint();
    let Case { plan, .. } = case;
    let start = Replica::start(crate::support::warden(), plan, output.clone());
    let note = crate::support::eventually("a note", || output.notes().first().cloned());
    tokio::select! {
        _ = start => panic!("it never starts"),
        note = note => {
            assert_eq!(note, format!("not ready after 10.0 s: nothing listens on {port}"));
        }
    }
}

#[tokio::test]
async fn ports_are_given_back_with_their_replica() {
    let case = Case::python("serve()");
    let Endpoint::Tcp(address) = case.endpoint() else { panic!("a port") };
    let running = case.start().await;
    assert!(std::net::TcpStream::connect(address).is_ok());
    running.end().await;
    within(async {
        // Another start on the same address finds it free.
        let mut again = Case::python("serve()");
        again.plan.members[0].endpoint = Endpoint::Tcp(address);
        again.plan.members[0].env.push(("PORT".into(), address.port().to_string()));
        again.plan.start_timeout = DEADLINE;
        again.plan.grace = Duration::ZERO;
        again.start().await.end().await;
    })
    .await;
}
