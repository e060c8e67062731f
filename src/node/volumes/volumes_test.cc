// Volumes as an attacker sees them: a container writes in a volume while the agent works in it.
#include "node/volumes/volumes.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "base/testing.h"
#include "node/pods/container_config.h"
#include "node/testing.h"
#include "node/volumes/host_path.h"

namespace keles::node {
namespace {

class OnDisk : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_directories(at("volume")).ok());
    ASSERT_TRUE(make_directories(at("outside")).ok());
    ASSERT_TRUE(write_file(at("outside/secret"), "s").ok());
  }

  std::string at(const std::string& path) const { return root_ + "/" + path; }
  void link(const std::string& to, const std::string& path) const {
    ASSERT_EQ(symlink(to.c_str(), at(path).c_str()), 0) << path;
  }
  mode_t mode_of(const std::string& path) const {
    struct stat st {};
    return stat(at(path).c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
  }
  Result<Fd> resolve(const std::string& path, bool create = false) const {
    auto root = open_directory(at("volume"));
    if (!root.ok()) return root.status();
    return resolve_sub_path(*root, at("volume"), path, create);
  }
  static std::string where(const Fd& fd) {
    char path[4096];
    ssize_t n = readlink(fd.proc_path().c_str(), path, sizeof path);
    return std::string(path, n > 0 ? static_cast<size_t>(n) : 0);
  }
  void expect_outside_untouched() const {
    EXPECT_THAT(*list_directory(at("outside")), testing::ElementsAre("secret"));
    EXPECT_EQ(*read_file(at("outside/secret")), "s");
  }
  // Changes `a` and `b` for one another until `done`.
  std::thread swapper(const std::string& a, const std::string& b, std::atomic<bool>* done) const {
    return std::thread([a = at(a), b = at(b), done] {
      while (!*done)
        ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
    });
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  const std::string root_ = directory_.path();
};

using SubPaths = OnDisk;

TEST_F(SubPaths, LinksInsideAreFollowed) {
  ASSERT_TRUE(make_directories(at("volume/a/b/c")).ok());
  link("a/b", "volume/inner");
  link("../b/c", "volume/a/b/up");
  link(at("volume/a"), "volume/absolute");
  for (const auto& [path, target] :
       std::vector<std::pair<std::string, std::string>>{{"a/b", "volume/a/b"},
                                                        {"a//./b/", "volume/a/b"},
                                                        {"inner/c", "volume/a/b/c"},
                                                        {"inner/up", "volume/a/b/c"},
                                                        {"absolute/b", "volume/a/b"},
                                                        {".", "volume"}}) {
    auto fd = resolve(path);
    ASSERT_TRUE(fd.ok()) << path << fd.status().to_string();
    EXPECT_EQ(where(*fd), at(target)) << path;
  }
}

TEST_F(SubPaths, LinksThatLeadOutAreRefusedAndMakeNothing) {
  link("../outside", "volume/out");
  link("..", "volume/above");
  link(at("outside"), "volume/absolute");
  link(at("volume") + "-2", "volume/prefix");
  link("/", "volume/root");
  link("/proc/self/root", "volume/magic");
  link("loop", "volume/loop");
  for (const std::string path :
       {"out", "out/secret", "out/new", "above", "above/outside/new", "absolute/new", "prefix",
        "prefix/new", "root/etc", "magic/etc", "../outside", "a/../../outside", "loop"}) {
    EXPECT_FALSE(resolve(path).ok()) << path;
    EXPECT_FALSE(resolve(path, true).ok()) << path;
  }
  expect_outside_untouched();
  EXPECT_FALSE(path_exists(at("volume-2")));
}

TEST_F(SubPaths, MissingDirectoriesHaveTheVolumesModeAndGroup) {
  ASSERT_EQ(chmod(at("volume").c_str(), 02777), 0);
  mode_t before = umask(077);
  EXPECT_TRUE(resolve("x").status().is(Reason::kNotFound));
  EXPECT_TRUE(resolve("x/y", true).ok());
  umask(before);
  EXPECT_EQ(mode_of("volume/x"), 02777u);
  EXPECT_EQ(mode_of("volume/x/y"), 02777u);
}

// Whether a race has another round: as many as are wanted, and more (within bounds) until one was won,
// which on a busy machine may take long.
bool goes_on(int round, int wanted, int won) {
  constexpr int kMost = 200'000;
  return round < wanted || (won == 0 && round < kMost);
}

// The attack: the directory is changed for a link to the outside, and back, all the time.
TEST_F(SubPaths, ARaceLeadsNowhere) {
  ASSERT_TRUE(make_directories(at("volume/a/b")).ok());
  link("../outside", "volume/swap");
  std::atomic<bool> done = false;
  std::thread racer = swapper("volume/a", "volume/swap", &done);
  int found = 0;
  for (int i = 0; goes_on(i, 5000, found); ++i) {
    auto fd = resolve(i % 2 == 0 ? "a/b" : "a/b/new-" + std::to_string(i % 7), true);
    if (!fd.ok()) continue;
    ++found;
    EXPECT_THAT(where(*fd), testing::StartsWith(at("volume") + "/"));
  }
  done = true;
  racer.join();
  EXPECT_GT(found, 0);
  expect_outside_untouched();
}

TEST_F(SubPaths, ABindShowsTheVolumeWhateverARaceDoes) {
  with_mounts([this] {
    PodDirectories pods(at("kubelet"));
    ASSERT_TRUE(make_directories(at("volume/a")).ok());
    ASSERT_TRUE(write_file(at("volume/a/mine"), "m").ok());
    link("../outside", "volume/swap");
    std::atomic<bool> done = false;
    std::thread racer = swapper("volume/a", "volume/swap", &done);
    int bound = 0;
    for (int i = 0; goes_on(i, 300, bound); ++i) {
      auto path = bind_sub_path(pods, {"uid", "v", "c", 1, at("volume"), "a"});
      if (!path.ok()) continue;
      ++bound;
      EXPECT_EQ(*path, at("kubelet/pods/uid/volume-subpaths/v/c/1"));
      EXPECT_THAT(list_directory(*path).value_or({}), testing::Contains("mine"));
      EXPECT_FALSE(path_exists(*path + "/secret"));
    }
    done = true;
    racer.join();
    EXPECT_GT(bound, 0);
    EXPECT_TRUE(pods.remove("uid").ok());
    EXPECT_FALSE(path_exists(at("kubelet/pods/uid")));
    expect_outside_untouched();
  });
}

TEST_F(SubPaths, BindsFollowTheVolumeAndEndWithThePod) {
  with_mounts([this] {
    PodDirectories pods(at("kubelet"));
    ASSERT_TRUE(make_directories(at("volume/one")).ok());
    ASSERT_TRUE(write_file(at("volume/file"), "f").ok());
    SubPath s{"uid", "v", "c", 0, at("volume"), "one"};
    std::string path = *bind_sub_path(pods, s);
    ASSERT_TRUE(write_file(path + "/x", "1").ok());
    EXPECT_EQ(read_file(at("volume/one/x")).value_or(""), "1");
    EXPECT_EQ(*bind_sub_path(pods, s), path);  // a container that starts again
    s.path = "two";                            // and one that asks for something else
    EXPECT_EQ(*bind_sub_path(pods, s), path);
    EXPECT_FALSE(path_exists(path + "/x"));
    s.path = "file";
    EXPECT_EQ(*bind_sub_path(pods, s), path);
    EXPECT_EQ(read_file(path).value_or(""), "f");
    s.path = "../outside";
    EXPECT_EQ(bind_sub_path(pods, s).status().message(),
              "failed to prepare subPath for volumeMount \"v\" of container \"c\"");
    // A new agent knows of the binds by what is mounted.
    EXPECT_TRUE(PodDirectories(at("kubelet")).remove("uid").ok());
    EXPECT_FALSE(path_exists(at("kubelet/pods/uid")));
    EXPECT_EQ(read_file(at("volume/one/x")).value_or(""), "1");
    EXPECT_EQ(read_file(at("volume/file")).value_or(""), "f");
  });
}

using Directories = OnDisk;

TEST_F(Directories, AVolumeAppearsWithItsMode) {
  PodDirectories pods(at("kubelet"));
  mode_t before = umask(077);
  ASSERT_TRUE(make_directories(at("kubelet/pods/uid/volumes/p/.v.new/old")).ok());  // a crash
  auto v = pods.volume("uid", "p", "v", {.mode = 02777, .gid = getegid()});
  umask(before);
  ASSERT_TRUE(v.ok()) << v.status().to_string();
  EXPECT_EQ(v->path, at("kubelet/pods/uid/volumes/p/v"));
  EXPECT_EQ(mode_of("kubelet/pods/uid/volumes/p/v"), 02777u);
  EXPECT_FALSE(path_exists(at("kubelet/pods/uid/volumes/p/v/old")));
  // What a container has made of it stays.
  ASSERT_EQ(chmod(v->path.c_str(), 0700), 0);
  EXPECT_TRUE(pods.volume("uid", "p", "v", {.mode = 02777, .gid = getegid()}).ok());
  EXPECT_EQ(mode_of("kubelet/pods/uid/volumes/p/v"), 0700u);
}

TEST_F(Directories, WhoElseHasAVolume) {
  PodDirectories pods(at("kubelet"));
  EXPECT_FALSE(pods.others_have("a", "pv"));
  ASSERT_TRUE(make_directories(at("kubelet/pods/a/volumes/kubernetes.io~csi/pv")).ok());
  EXPECT_FALSE(pods.others_have("a", "pv"));
  EXPECT_TRUE(pods.others_have("b", "pv"));
  EXPECT_FALSE(pods.others_have("b", "kubernetes.io~csi"));
  ASSERT_TRUE(make_directories(at("kubelet/pods/b/volumeDevices/kubernetes.io~csi/disk")).ok());
  EXPECT_TRUE(pods.others_have("a", "disk"));
}

TEST_F(Directories, RemovalNeverGoesBehindAMount) {
  with_mounts([this] {
    PodDirectories pods(at("kubelet"));
    auto v = pods.volume("uid", "kubernetes.io~empty-dir", "v", {.mode = 0777, .gid = {}});
    auto memory = pods.volume("uid", "kubernetes.io~empty-dir", "m", {.mode = 0777, .gid = {}},
                              TmpfsOptions{.size_bytes = 1 << 20});
    ASSERT_TRUE(v.ok() && memory.ok());
    EXPECT_TRUE(is_mount_root(memory->fd));
    EXPECT_EQ(mode_of("kubelet/pods/uid/volumes/kubernetes.io~empty-dir/m"), 0777u);
    // Left by a container that could mount: the outside, deep in a volume, twice.
    std::string deep = v->path + "/a b/c";
    ASSERT_TRUE(make_directories(deep).ok());
    for (int i = 0; i < 2; ++i)
      ASSERT_EQ(mount(at("outside").c_str(), deep.c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(symlink(at("outside").c_str(), (v->path + "/link").c_str()), 0);
    Status s = pods.remove("uid");
    EXPECT_TRUE(s.ok()) << s.to_string();
    EXPECT_FALSE(path_exists(at("kubelet/pods/uid")));
    expect_outside_untouched();
    EXPECT_TRUE(pods.remove("uid").ok());
    EXPECT_FALSE(pods.remove("../../outside").ok());
    expect_outside_untouched();
  });
}

using HostPath = OnDisk;

TEST_F(HostPath, TypesAreChecked) {
  ASSERT_TRUE(write_file(at("file"), "f").ok());
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::string path = at("socket");
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  ASSERT_EQ(bind(s, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  close(s);
  struct Row {
    const char *path, *type, *error;
  };
  for (const Row& r : std::vector<Row>{{"none", "", ""},
                                       {"volume", "Directory", ""},
                                       {"file", "Directory", " is not a directory"},
                                       {"file", "DirectoryOrCreate", " is not a directory"},
                                       {"none", "Directory", " is not a directory"},
                                       {"file", "File", ""},
                                       {"volume", "File", " is not a file"},
                                       {"volume", "FileOrCreate", " is not a file"},
                                       {"socket", "Socket", ""},
                                       {"file", "Socket", " is not a socket file"},
                                       {"file", "CharDevice", " is not a character device"},
                                       {"file", "BlockDevice", " is not a block device"}}) {
    Status got = check_host_path(at(r.path), r.type);
    std::string error =
        *r.error ? "hostPath type check failed: " + at(r.path) + r.error : std::string();
    EXPECT_EQ(got.ok() ? "" : got.message(), error) << r.path << " " << r.type;
  }
  EXPECT_TRUE(check_host_path("/dev/null", "CharDevice").ok());
  EXPECT_EQ(check_host_path(at("file"), "Pipe").message(), "Pipe is an invalid volume type");
}

TEST_F(HostPath, WhatIsMissingIsMade) {
  link("volume", "dir");
  EXPECT_TRUE(check_host_path(at("new/a/"), "DirectoryOrCreate").ok());
  EXPECT_EQ(mode_of("new/a"), 0755u);
  EXPECT_TRUE(check_host_path(at("dir/b"), "DirectoryOrCreate").ok());  // the host's own link
  EXPECT_TRUE(path_exists(at("volume/b")));
  EXPECT_TRUE(check_host_path(at("volume/f"), "FileOrCreate").ok());
  EXPECT_EQ(mode_of("volume/f"), 0644u);
  EXPECT_FALSE(check_host_path(at("missing/f"), "FileOrCreate").ok());  // as upstream
  // Nothing is made behind a link that hangs.
  link("outside/made", "hanging");
  EXPECT_FALSE(check_host_path(at("hanging"), "FileOrCreate").ok());
  EXPECT_FALSE(check_host_path(at("hanging"), "DirectoryOrCreate").ok());
  EXPECT_FALSE(check_host_path(at("hanging/x"), "DirectoryOrCreate").ok());
  expect_outside_untouched();
}

TEST(NestedMountPoints, AreThoseDirectlyInside) {
  auto pod = pod_from(R"({"spec":{"containers":[{"name":"a","volumeMounts":[
    {"name":"v","mountPath":"/etc/v/"},{"name":"w","mountPath":"/etc/v/in"},
    {"name":"x","mountPath":"/etc/v/in/deeper"},{"name":"x","mountPath":"/etc/v/in.2"},
    {"name":"x","mountPath":"/etc/vv"}]}]}})");
  EXPECT_THAT(nested_mount_points(*pod, "v"), testing::ElementsAre("in", "in.2"));
  EXPECT_THAT(nested_mount_points(*pod, "w"), testing::ElementsAre("deeper"));
  EXPECT_THAT(nested_mount_points(*pod, "none"), testing::IsEmpty());
}

// What a container's mount becomes, or why it cannot be: "RO /path" or the error.
TEST(Mounts, OfAContainer) {
  struct Row {
    const char *mount, *expected;
  };
  for (const Row& r : std::vector<Row>{
           {R"("name":"rw")", "RW /host/rw"},
           {R"("name":"rw","readOnly":true)", "RO /host/rw"},
           {R"("name":"ro")", "RO /host/ro"},
           {R"("name":"ro","readOnly":false)", "RO /host/ro"},
           {R"("name":"no")", "cannot find volume \"no\" to mount into container \"c\""},
           {R"("name":"rw","subPath":"a/b")", "RW bound rw 0 a/b"},
           {R"("name":"ro","subPath":"a")", "RO bound ro 0 a"},
           {R"x("name":"rw","subPathExpr":"x-$(A)")x", "RW bound rw 0 x-1"},
           {R"x("name":"rw","subPathExpr":"$(B)/$(EMPTY)/$(A)")x", "missing value for B, EMPTY"},
           {R"x("name":"rw","subPathExpr":"$(ROOT)")x",
            "error SubPath `/etc` must not be an absolute path"},
           {R"x("name":"rw","subPathExpr":"$(UP)")x",
            "unable to provision SubPath `..`: must not contain '..'"},
           {R"("name":"rw","subPath":"..a/b..")", "RW bound rw 0 ..a/b.."},
           {R"("name":"rw","readOnly":true,"recursiveReadOnly":"IfPossible")", "RO /host/rw"},
           {R"("name":"rw","readOnly":true,"recursiveReadOnly":"Enabled")",
            "failed to resolve recursive read-only mode: volume \"rw\" requested recursive "
            "read-only mode, but it is not supported by the runtime"},
           {R"("name":"rw","recursiveReadOnly":"Enabled")",
            "failed to resolve recursive read-only mode: volume \"rw\" requested recursive "
            "read-only mode, but it is not read-only"}}) {
    auto pod = pod_from(R"({"metadata":{"name":"p","namespace":"n","uid":"u"},"spec":{"containers":[
        {"name":"c","image":"i","volumeMounts":[{"mountPath":"/m",)" +
                        std::string(r.mount) + "}]}]}}");
    auto container = pod->spec().containers()[0];
    ContainerInputs in;
    in.pod = &*pod;
    in.container = &container;
    in.environment = {{"A", "1"}, {"EMPTY", ""}, {"ROOT", "/etc"}, {"UP", ".."}};
    in.volumes["rw"] = {"/host/rw", false};
    in.volumes["ro"] = {"/host/ro", true};
    in.bind_sub_path = [](const std::string& volume, const std::string& path, size_t index,
                          const std::string& sub) -> Result<std::string> {
      EXPECT_EQ(path, "/host/" + volume);
      return "bound " + volume + " " + std::to_string(index) + " " + sub;
    };
    auto config = make_container_config(in);
    std::string got =
        config.ok() ? (config->mounts[0].readonly ? "RO " : "RW ") + config->mounts[0].host_path
                    : config.status().message();
    EXPECT_EQ(got, r.expected) << r.mount;
  }
}

}  // namespace
}  // namespace keles::node
