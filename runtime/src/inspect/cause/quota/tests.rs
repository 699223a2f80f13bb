//! Where the groups of a thread are found, and what their files say: recorded trees of either version.

use super::*;

const TWO: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

fn paths(own: &str, mounts: &str) -> Vec<String> {
    let show = |(version, path): &(Version, PathBuf)| format!("{version:?} {}", path.display());
    groups(own, mounts).iter().map(show).collect()
}

#[test]
fn the_group_and_all_above_it_are_found_by_mount_and_path() {
    assert_eq!(
        paths("0::/app.slice/shop.service\n", TWO),
        [
            "Two /sys/fs/cgroup/app.slice/shop.service",
            "Two /sys/fs/cgroup/app.slice",
            "Two /sys/fs/cgroup/"
        ]
    );
    let container = "90 80 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    assert_eq!(
        paths("0::/docker/ab/in\n", container),
        ["Two /sys/fs/cgroup/in", "Two /sys/fs/cgroup/"]
    );
    // The path leads out of what is mounted: what is mounted is all there is to see.
    assert_eq!(paths("0::/../other\n", TWO), ["Two /sys/fs/cgroup/"]);
    assert_eq!(paths("0::/elsewhere\n", container), ["Two /sys/fs/cgroup/"]);
}

#[test]
fn where_the_cpu_controller_is_of_version_1_that_one_counts() {
    let own = "3:cpuset:/\n2:cpu,cpuacct:/shop\n1:name=systemd:/\n0::/\n";
    let one = "32 31 0:29 / /sys/fs/c\\040g/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
    let sets = "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
    let all = format!("{sets}{one}{TWO}");
    assert_eq!(
        paths(own, &all),
        ["One /sys/fs/c g/cpu/shop", "One /sys/fs/c g/cpu/"]
    );
    assert_eq!(paths(own, TWO), [""; 0], "it is not mounted");
    assert_eq!(paths(own, ""), [""; 0]);
    assert_eq!(paths("nonsense", &all), [""; 0]);
}

#[test]
fn what_was_taken_is_read_from_either_form_and_nothing_is_made_up() {
    let two = "usage_usec 5\nnr_periods 10\nnr_throttled 4\nthrottled_usec 220000\n";
    assert_eq!(taken(Version::Two, two), Some(220_000_000));
    let one = "nr_periods 10\nnr_throttled 4\nthrottled_time 220000123\n";
    assert_eq!(taken(Version::One, one), Some(220_000_123));
    // The root group of version 2 has no quota, and no such line.
    assert_eq!(taken(Version::Two, "usage_usec 5\n"), None);
    assert_eq!(taken(Version::Two, ""), None);
    assert_eq!(taken(Version::One, "throttled_time many\n"), None);
}

#[test]
fn a_quota_is_a_share_of_cpus() {
    assert_eq!(limit_of_two("20000 100000\n"), Some(0.2));
    assert_eq!(limit_of_two("max 100000\n"), None);
    assert_eq!(limit_of_two(""), None);
    assert_eq!(limit_of_one("150000\n", "100000\n"), Some(1.5));
    assert_eq!(limit_of_one("-1\n", "100000\n"), None);
    assert_eq!(limit_of_one("20000\n", "0\n"), None);
}

#[test]
fn what_a_poll_lost_is_counted_from_the_reading_before_it() {
    let mut quota = Quota::default();
    assert_eq!(quota.since(5), None);
    for (at, taken) in [(10, 100), (20, 130), (30, 190)] {
        let limit = Some(0.5);
        quota.readings.push_back((at, Throttle { taken, limit }));
    }
    let since = |at| quota.since(at).unwrap().ns;
    assert_eq!((since(25), since(20), since(15)), (60, 60, 90));
    assert_eq!(since(5), 90, "no older reading: from the oldest there is");
    assert!(quota.is_set());
}

#[test]
fn groups_that_are_not_there_tell_nothing() {
    let gone = PathBuf::from("/nowhere/at/all");
    assert_eq!(
        sum(&[(Version::Two, gone.clone()), (Version::One, gone)]),
        None
    );
    assert_eq!(sum(&[]), None);
}

/// A tree of groups as it was seen, below a folder of its own.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root = PathBuf::from(format!("/tmp/lc-quota-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(root)
    }

    /// What the quotas say of a thread whose `cgroup` is `own`. `@` in `mounts` stands for the folder.
    fn read(&self, own: &str, mounts: &str) -> Option<Throttle> {
        let mounts = mounts.replace('@', self.0.to_str().unwrap());
        sum(&groups(own, &mounts))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As Linux 6.1 writes it, of a group with the controller.
const STAT: &str = "usage_usec 480000\nuser_usec 467368\nsystem_usec 12631\nnr_periods 27\nnr_throttled 24\nthrottled_usec 1910000\nnr_bursts 0\nburst_usec 0\n";
/// Of a group for which the controller is not switched on.
const PLAIN: &str = "usage_usec 480000\nuser_usec 467368\nsystem_usec 12631\n";
/// Of the root: it has the fields from Linux 5.15 on, and no `cpu.max`.
const ROOT: &str = "usage_usec 1700000\nuser_usec 1470000\nsystem_usec 230000\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\nnr_bursts 0\nburst_usec 0\n";
const MOUNTED: &str = "22 21 0:20 / @ rw,relatime - cgroup2 none rw\n";

#[test]
fn of_nested_groups_all_are_summed_and_the_smallest_quota_is_told() {
    let tree = Tree::new(
        "nested",
        &[
            ("cpu.stat", ROOT),
            ("kube/cpu.stat", STAT),
            ("kube/cpu.max", "150000 100000\n"),
            ("kube/pod/cpu.stat", STAT),
            ("kube/pod/cpu.max", "max 100000\n"),
            ("kube/pod/app/cpu.stat", STAT),
            ("kube/pod/app/cpu.max", "20000 100000\n"),
            // Beside it: not its own.
            ("kube/pod/other/cpu.stat", STAT),
            ("kube/pod/other/cpu.max", "1000 100000\n"),
        ],
    );
    let read = tree.read("0::/kube/pod/app\n", MOUNTED).unwrap();
    assert_eq!((read.taken, read.limit), (3 * 1_910_000_000, Some(0.2)));
    let read = tree.read("0::/kube/pod\n", MOUNTED).unwrap();
    assert_eq!((read.taken, read.limit), (2 * 1_910_000_000, Some(1.5)));
}

#[test]
fn max_is_no_quota_and_a_group_without_the_controller_tells_nothing() {
    let tree = Tree::new(
        "max",
        &[
            ("cpu.stat", ROOT),
            ("free/cpu.stat", STAT),
            ("free/cpu.max", "max 100000\n"),
            ("free/plain/cpu.stat", PLAIN),
            ("old/cpu.stat", PLAIN),
        ],
    );
    let read = tree.read("0::/free\n", MOUNTED).unwrap();
    assert_eq!((read.taken, read.limit), (1_910_000_000, None));
    // Of the group itself nothing is told; of the one above it is.
    let read = tree.read("0::/free/plain\n", MOUNTED).unwrap();
    assert_eq!(read.taken, 1_910_000_000);
    // Before Linux 5.15 the root has none of the fields: nobody tells.
    fs::write(tree.0.join("cpu.stat"), PLAIN).unwrap();
    assert_eq!(tree.read("0::/old\n", MOUNTED), None);
}

#[test]
fn inside_a_container_the_path_is_the_root_of_what_is_mounted() {
    let tree = Tree::new(
        "container",
        &[("cpu.stat", STAT), ("cpu.max", "50000 100000\n")],
    );
    // A namespace of control groups: the path is `/`, and the mount shows the container's group.
    let read = tree.read("0::/\n", MOUNTED).unwrap();
    assert_eq!((read.taken, read.limit), (1_910_000_000, Some(0.5)));
    // Without one, the path is the host's, and the mount shows that part of the tree.
    let part = MOUNTED.replace("/ @", "/docker/ab @");
    let read = tree.read("0::/docker/ab\n", &part).unwrap();
    assert_eq!((read.taken, read.limit), (1_910_000_000, Some(0.5)));
    // A mount from outside of the namespace shows a group above: what that one says is true of us.
    let above = MOUNTED.replace("/ @", "/../.. @");
    let read = tree.read("0::/\n", &above).unwrap();
    assert_eq!(read.limit, Some(0.5));
}

#[test]
fn where_both_versions_are_mounted_the_one_that_has_the_controller_is_read() {
    let one = "nr_periods 10\nnr_throttled 4\nthrottled_time 220000123\n";
    let tree = Tree::new(
        "hybrid",
        &[
            ("unified/cpu.stat", ROOT),
            ("unified/shop/cpu.stat", PLAIN),
            (
                "cpu/cpu.stat",
                "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
            ),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("cpu/shop/cpu.stat", one),
            ("cpu/shop/cpu.cfs_quota_us", "30000\n"),
            ("cpu/shop/cpu.cfs_period_us", "100000\n"),
        ],
    );
    let two = "31 30 0:27 / @/unified rw,relatime - cgroup2 cgroup2 rw\n";
    let both = format!("32 30 0:28 / @/cpu rw,relatime - cgroup cgroup rw,cpu\n{two}");
    let own = "2:cpuacct:/\n1:cpu:/shop\n0::/shop\n";
    let read = tree.read(own, &both).unwrap();
    assert_eq!((read.taken, read.limit), (220_000_123, Some(0.3)));
    // Its hierarchy is not mounted here: version 2 knows nothing of that quota, and nothing is said.
    assert_eq!(tree.read(own, two), None);
    // Version 1 for other controllers only: the CPU's is of version 2.
    let read = tree.read("4:memory:/shop\n0::/\n", two).unwrap();
    assert_eq!((read.taken, read.limit), (0, None));
}
