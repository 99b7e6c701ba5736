use super::*;

const SERVER: i32 = 10;

fn process(pid: i32, parent: i32, session: i32) -> Process {
    let identity = Identity { pid, start: u64::try_from(pid).unwrap() * 100 };
    let (group, is_zombie, cpu_ticks, resident_pages) = (session, false, 0, 0);
    Process { identity, parent, group, session, is_zombie, cpu_ticks, resident_pages }
}

/// The server (pid 10, session 5) with the member 20 of replica 1.
fn ground() -> Ground {
    let members = HashMap::from([(20, 1)]);
    let held = BTreeSet::from([20]);
    Ground { own_pid: SERVER, own_session: 5, members, held, newest: 1, only: None }
}

fn base() -> Vec<Process> {
    vec![process(1, 0, 1), process(SERVER, 1, 5), process(20, SERVER, 20)]
}

fn owned(owners: &mut Owners, table: &[Process], marks: &[(i32, Mark)]) -> Vec<(i32, Owner)> {
    let mark_of = |process: &Process| {
        let found = marks.iter().find(|(pid, _)| *pid == process.identity.pid);
        found.map_or(Mark::Missing, |(_, mark)| *mark)
    };
    let list = owners.assign(table, &ground(), mark_of);
    list.iter().map(|owned| (owned.process.identity.pid, owned.owner)).collect()
}

#[test]
fn member_its_session_and_its_children_belong_together() {
    let mut table = base();
    // A child in the session, a grandchild in one of its own, listed before its parent.
    table.push(process(22, 23, 22));
    table.push(process(23, 20, 20));
    table.push(process(30, 1, 30));
    let one = Owner::Replica(1);
    let expected = vec![(20, one), (22, one), (23, one)];
    assert_eq!(owned(&mut Owners::default(), &table, &[]), expected);
}

#[test]
fn marked_processes_are_found_wherever_they_are() {
    let mut table = base();
    table.push(process(40, 1, 40));
    table.push(process(41, 40, 41));
    let marks = [(40, Mark::Ours(7))];
    let expected = vec![(20, Owner::Replica(1)), (40, Owner::Replica(7)), (41, Owner::Replica(7))];
    assert_eq!(owned(&mut Owners::default(), &table, &marks), expected);
}

#[test]
fn owner_stays_when_session_parent_and_mark_are_gone() {
    let mut owners = Owners::default();
    let mut table = base();
    table.push(process(40, 20, 20));
    owned(&mut owners, &table, &[]);
    table[3] = process(40, SERVER, 40);
    assert_eq!(owned(&mut owners, &table, &[])[1], (40, Owner::Replica(1)));
}

#[test]
fn reused_number_has_no_owner() {
    let mut owners = Owners::default();
    let mut table = base();
    table.push(process(40, 20, 20));
    owned(&mut owners, &table, &[]);
    table[3] = process(40, 1, 40);
    table[3].identity.start += 1;
    assert_eq!(owned(&mut owners, &table, &[]), vec![(20, Owner::Replica(1))]);
}

#[test]
fn unknown_orphan_is_a_stray_of_those_before_it() {
    let mut owners = Owners::default();
    let mut table = base();
    table.push(process(40, SERVER, 40));
    let stray = Owner::Stray { newest: 1 };
    assert_eq!(owned(&mut owners, &table, &[])[1], (40, stray));
    let later = Ground { newest: 9, ..ground() };
    let list = owners.assign(&table, &later, |_| Mark::Missing);
    assert_eq!(list[1].owner, stray, "what came later did not start it");
    // Its mark can be read once it has called exec.
    assert_eq!(owned(&mut owners, &table, &[(40, Mark::Ours(1))])[1], (40, Owner::Replica(1)));
}

#[test]
fn unknown_orphan_belongs_to_the_only_replica() {
    let mut table = base();
    table.push(process(40, SERVER, 40));
    let ground = Ground { only: Some(1), ..ground() };
    let mut owners = Owners::default();
    let list = owners.assign(&table, &ground, |_| Mark::Missing);
    assert_eq!(list[1].owner, Owner::Replica(1));
}

#[test]
fn what_the_server_started_for_itself_is_left_alone() {
    let mut table = base();
    table.push(process(40, SERVER, 5));
    table.push(process(41, SERVER, 41));
    let expected = vec![(20, Owner::Replica(1))];
    let marks = [(SERVER, Mark::Ours(1)), (41, Mark::Foreign)];
    assert_eq!(owned(&mut Owners::default(), &table, &marks), expected);
}

#[test]
fn forgets_the_dead() {
    let mut owners = Owners::default();
    owned(&mut owners, &base(), &[]);
    let before = owners.len();
    owners.prune(&base()[..2]);
    assert_eq!(owners.len(), before - 1);
}
