// Local volumes on real disks (loop devices), in a mount namespace of their own.
#include "node/volumes/local_volume.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "base/beneath.h"
#include "base/file.h"
#include "base/loop_devices.h"
#include "base/mount_table.h"
#include "base/process.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "base/testing.h"
#include "machinery/codec_yaml.h"
#include "node/testing.h"
#include "node/volumes/expansion.h"
#include "node/volumes/mount_command.h"
#include "node/volumes/pod_directories.h"

namespace keles::node {
namespace {

using namespace api::core_v1;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(MountCommand, AsUpstreamCallsIt) {
  EXPECT_THAT(mount_arguments("ext4", {"noatime", "defaults"}, "/dev/x", "/at"),
              ElementsAre("-t", "ext4", "-o", "noatime,defaults", "/dev/x", "/at"));
  EXPECT_THAT(mount_arguments("", {}, "/a", "/b"), ElementsAre("/a", "/b"));
  EXPECT_THAT(joined_options({"ro"}, {"noatime", "ro"}), ElementsAre("noatime", "ro"));
  auto volume = [](const std::string& more) {
    auto d = parse_yaml("{metadata: {name: v" + more + "}");
    return Ref<PersistentVolume>(std::make_shared<const Document>(std::move(*d)));
  };
  EXPECT_THAT(mount_options_of(*volume("}, spec: {mountOptions: [b, a]}")), ElementsAre("b", "a"));
  EXPECT_THAT(mount_options_of(*volume(
                  ", annotations: {volume.beta.kubernetes.io/mount-options: 'x,,y'}}, spec: "
                  "{mountOptions: [a]}")),
              ElementsAre("x", "", "y"));
}

TEST(MountCommand, WhatIsOnADisk) {
  EXPECT_EQ(*disk_format("TYPE=ext4\n"), "ext4");
  EXPECT_EQ(*disk_format(""), "");
  EXPECT_EQ(*disk_format("DEVNAME=/dev/x\nTYPE=xfs\n\n"), "xfs");
  EXPECT_EQ(*disk_format("PTTYPE=dos\n"), "unknown data, probably partitions");
  EXPECT_EQ(disk_format("nonsense\n").status().message(),
            "blkid returns invalid output: nonsense\n");
}

struct Told final : Events {
  std::vector<std::string> events;
  void pod(const Ref<Pod>&, std::string, std::string, std::string reason,
           std::string message) override {
    events.push_back(reason + ": " + message);
  }
  void volume(const Ref<PersistentVolume>&, std::string, std::string reason,
              std::string message) override {
    events.push_back("volume " + reason + ": " + message);
  }
  void node(std::string, std::string, std::string) override {}
};

struct Host {
  std::unique_ptr<RealLoop> loop = make_real_loop();
  TemporaryDirectory directory = std::move(*TemporaryDirectory::make());
  const std::string root = directory.path() + "/kubelet", disk = directory.path() + "/disk";
  std::string device;
  MayHang calls;
  Told told;
  LocalMounts mounts{root, calls};
  Context ctx = Context::root(*loop).with_timeout(60s);

  ~Host() {
    if (auto table = read_mount_table(); table.ok())
      for (auto m = table->rbegin(); m != table->rend(); ++m)
        if (is_at_or_below(m->place, root)) ::umount2(m->place.c_str(), MNT_DETACH);
    if (!device.empty()) (void)detach_loop_device(device);
  }
  bool attach(int64_t bytes) {
    Fd fd(::open(disk.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (::ftruncate(fd.get(), bytes) != 0) return false;
    auto got = attach_loop_device(disk);
    if (got.ok()) device = *got;
    return got.ok();
  }
  LocalMounts::Wanted wanted(const std::string& uid, const std::string& path,
                             const std::string& more = "") const {
    auto volume =
        parse_yaml("{metadata: {name: v}, spec: {local: {path: '" + path + "'" + more + "}}}");
    LocalMounts::Wanted w;
    w.pod = pod_from(R"({"metadata":{"name":"p","namespace":"ns","uid":")" + uid + "\"}}");
    w.volume = Ref<PersistentVolume>(std::make_shared<const Document>(std::move(*volume)));
    return w;
  }
  std::string set_up(LocalMounts::Wanted w) {
    auto got = run_task(*loop, mounts.set_up(ctx, &told, std::move(w)));
    return got.ok() ? *got : got.status().message();
  }
  void remove(const std::string& uid) {
    EXPECT_TRUE(PodDirectories(root).remove(uid).ok());
    Status s = run_task(*loop, mounts.clean(ctx));
    EXPECT_TRUE(s.ok()) << s.to_string();
  }
  std::string at(const std::string& uid) const {
    return root + "/pods/" + uid + "/volumes/kubernetes.io~local-volume/v";
  }
  std::string global() const { return root + "/plugins/kubernetes.io/local-volume/mounts/v"; }
  std::vector<std::string> mounted() const {
    std::vector<std::string> out;
    const auto table = *read_mount_table();
    for (const MountedAt& m : table)
      if (is_at_or_below(m.place, root)) out.push_back(m.place.substr(root.size()));
    return out;
  }
};

TEST(LocalVolumes, ADirectoryIsBoundIntoThePod) {
  with_mounts([] {
    Host h;
    const std::string own = h.directory.path() + "/own";
    ASSERT_TRUE(make_directories(own).ok());
    ASSERT_TRUE(write_file(own + "/f", "x").ok());
    LocalMounts::Wanted w = h.wanted("u1", own);
    w.group = 1234;
    EXPECT_EQ(h.set_up(w), h.at("u1"));
    EXPECT_EQ(h.set_up(w), h.at("u1"));
    EXPECT_EQ(*read_file(h.at("u1") + "/f"), "x");
    struct stat st {};
    ASSERT_EQ(::stat((own + "/f").c_str(), &st), 0);
    EXPECT_EQ(st.st_gid, 1234u);
    // Who comes later has it as it is, and is told.
    w = h.wanted("u2", own);
    w.group = 4321;
    w.read_only = true;
    EXPECT_EQ(h.set_up(w), h.at("u2"));
    EXPECT_THAT(h.told.events,
                ElementsAre("AlreadyMountedVolume: The requested fsGroup is 4321, but the volume v "
                            "has GID 1234. The volume may not be shareable."));
    EXPECT_FALSE(write_file(h.at("u2") + "/f", "y").ok());
    h.remove("u1");
    h.remove("u2");
    EXPECT_EQ(*read_file(own + "/f"), "x");
    EXPECT_THAT(h.mounted(), IsEmpty());
    EXPECT_EQ(h.set_up(h.wanted("u1", own + "/no")),
              "MountVolume.NewMounter initialization failed for volume \"v\" : path \"" + own +
                  "/no\" does not exist");
    EXPECT_EQ(h.set_up(h.wanted("u1", own + "/f")),
              "MountVolume.NewMounter initialization failed for volume \"v\" : only directory and "
              "block device are supported");
  });
}

TEST(LocalVolumes, ABlankDiskIsFormattedAndMountedOnce) {
  with_mounts([] {
    Host h;
    if (!h.attach(16 << 20)) GTEST_SKIP() << "no loop devices here";
    LocalMounts::Wanted w = h.wanted("u0", h.device);
    w.read_only = true;
    EXPECT_EQ(h.set_up(w),
              "MountVolume.MountDevice failed for volume \"v\" : local: failed to "
              "mount device " +
                  h.device + " at " + h.global() +
                  " (fstype: ext4), error cannot mount unformatted disk " + h.device +
                  " as we are manipulating it in read-only mode");
    EXPECT_EQ(h.set_up(h.wanted("u0", h.device, ", fsType: ../../bin/sh")),
              "MountVolume.MountDevice failed for volume \"v\" : local: failed to mount device " +
                  h.device + " at " + h.global() +
                  " (fstype: ../../bin/sh), error fsType: \"../../bin/sh\" is no name of a file "
                  "system");
    w = h.wanted("u1", h.device);
    w.group = 1234;
    ASSERT_EQ(h.set_up(w), h.at("u1"));
    ASSERT_EQ(h.set_up(h.wanted("u2", h.device)), h.at("u2"));
    ASSERT_TRUE(write_file(h.at("u1") + "/f", "kept").ok());
    EXPECT_EQ(*read_file(h.at("u2") + "/f"), "kept");
    EXPECT_EQ(h.mounted().size(), 3u);
    h.remove("u1");
    EXPECT_THAT(h.mounted(), ElementsAre("/plugins/kubernetes.io/local-volume/mounts/v",
                                         "/pods/u2/volumes/kubernetes.io~local-volume/v"));
    // An agent that starts anew finds what there is, and takes down what no pod has.
    LocalMounts later(h.root, h.calls);
    auto got = run_task(*h.loop, later.set_up(h.ctx, &h.told, h.wanted("u2", h.device)));
    EXPECT_TRUE(got.ok() && *got == h.at("u2"));
    ASSERT_TRUE(PodDirectories(h.root).remove("u2").ok());
    ASSERT_TRUE(run_task(*h.loop, later.clean(h.ctx)).ok());
    EXPECT_THAT(h.mounted(), IsEmpty());
    EXPECT_FALSE(path_exists(h.global()));
    // What is on a disk stays, whatever is asked for.
    const std::string other = h.set_up(h.wanted("u3", h.device, ", fsType: vfat"));
    EXPECT_THAT(other, HasSubstr("(fstype: vfat), error mount failed: exit status 32\nMounting "
                                 "command: mount\nMounting arguments: -t vfat -o defaults"));
    EXPECT_THAT(h.told.events, ElementsAre(HasSubstr("volume FailedMountOnFilesystemMismatch: "
                                                     "MountVolume failed for volume \"v\" : ")));
    ASSERT_EQ(h.set_up(h.wanted("u3", h.device)), h.at("u3"));
    EXPECT_EQ(*read_file(h.at("u3") + "/f"), "kept");
    h.remove("u3");
  });
}

// Growing what is mounted is a right of its own for ext4 (CAP_SYS_RESOURCE), which containers lack.
TEST(LocalVolumes, AFileSystemFollowsItsDevice) {
  with_mounts([] {
    Host h;
    const std::string own = h.directory.path() + "/own";
    ASSERT_TRUE(make_directories(own).ok());
    auto grow = [&](const std::string& path) {
      return run_task(*h.loop, h.mounts.grow(h.ctx, h.wanted("u1", path).volume));
    };
    EXPECT_TRUE(grow(own).ok()) << "a directory has nothing to follow";
    EXPECT_THAT(grow(own + "/no").message(),
                HasSubstr("stat " + own + "/no: No such file or directory"));
    if (!h.attach(16 << 20)) GTEST_SKIP() << "no loop devices here";
    ASSERT_EQ(h.set_up(h.wanted("u1", h.device)), h.at("u1"));
    auto blocks = [&] {
      struct statvfs st {};
      EXPECT_EQ(::statvfs(h.at("u1").c_str(), &st), 0);
      return st.f_blocks * st.f_frsize;
    };
    const auto before = blocks();
    ASSERT_TRUE(grow(h.device).ok()) << "nothing to do";
    EXPECT_EQ(blocks(), before);
    ASSERT_EQ(::truncate(h.disk.c_str(), 32 << 20), 0);
    {
      Fd fd(::open(h.device.c_str(), O_RDWR | O_CLOEXEC));
      ASSERT_EQ(::ioctl(fd.get(), LOOP_SET_CAPACITY, 0), 0);
    }
    const Status s = grow(h.device);
    if (s.ok()) {
      EXPECT_GT(blocks(), before * 3 / 2);
    } else {
      EXPECT_THAT(s.message(), HasSubstr("resize of device " + h.device +
                                         " failed: exit status 1. resize2fs output: "));
      EXPECT_THAT(s.message(), HasSubstr("Permission denied"));
      EXPECT_EQ(blocks(), before);
    }
    h.remove("u1");
  });
}

TEST(Expansion, WhatIsLeftForTheNode) {
  struct Row {
    const char *volume, *claim, *want;
  };
  for (const Row& r : std::initializer_list<Row>{
           {"{storage: 2Gi}", "capacity: {storage: 1Gi}", "2Gi"},
           {"{storage: 1024Mi}", "capacity: {storage: 1Gi}", ""},
           {"{storage: 1Gi}", "capacity: {storage: 2Gi}", ""},
           {"{}", "capacity: {storage: 1Gi}", ""},
           {"{storage: 2Gi}",
            "capacity: {storage: 1Gi}, allocatedResourceStatuses: {storage: NodeResizePending}",
            "2Gi"},
           {"{storage: 2Gi}",
            "capacity: {storage: 1Gi}, allocatedResourceStatuses: {storage: NodeResizeInfeasible}",
            ""},
       }) {
    auto volume = parse_yaml(std::string("{spec: {capacity: ") + r.volume + "}}");
    auto claim = parse_yaml(std::string("{status: {") + r.claim + "}}");
    ASSERT_TRUE(volume.ok() && claim.ok());
    const Ref<PersistentVolume> v(std::make_shared<const Document>(std::move(*volume)));
    const Ref<PersistentVolumeClaim> c(std::make_shared<const Document>(std::move(*claim)));
    EXPECT_EQ(pending_expansion(*v, *c).value_or(""), r.want) << r.volume << " " << r.claim;
  }
}

}  // namespace
}  // namespace keles::node
