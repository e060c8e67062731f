// The local driver as a caller of its methods sees it.
#include "csi/local_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "base/testing.h"
#include "machinery/codec_protobuf.h"

namespace keles::csi {
namespace {

using testing::HasSubstr;

class Driver {
 public:
  Driver() {
    LocalDriver::Options o;
    o.directory = root + "/state";
    o.node = "here";
    driver = std::make_unique<LocalDriver>(o);
    if (!driver->start().ok()) std::abort();
  }
  // A copy that is under way is asked for again.
  template <class Response, class Edit>
  Result<Document> call(const std::string& method, const Draft<Edit>& request) {
    Result<std::string> got = Status(Reason::kUnavailable, "");
    while (got.status().is(Reason::kUnavailable))
      got = driver->answer("/csi.v1." + method,
                           encode_protobuf(Edit::descriptor(), request.value()), 1000);
    if (!got.ok()) return got.status();
    return decode_protobuf(Response::descriptor(), *got);
  }
  Draft<v1::CreateVolumeRequestEdit> wanted(const std::string& name, int64_t bytes,
                                            const Access& access) {
    Draft<v1::CreateVolumeRequestEdit> q;
    q->set_name(name);
    q->edit_capacity_range().set_required_bytes(bytes);
    fill(q->edit_volume_capabilities().add(), access, true);
    return q;
  }
  std::string create(const Draft<v1::CreateVolumeRequestEdit>& q) {
    auto got = call<v1::CreateVolumeResponse>("Controller/CreateVolume", q);
    EXPECT_TRUE(got.ok()) << got.status().to_string();
    return got.ok() ? std::string(v1::CreateVolumeResponse(got->root).volume().volume_id()) : "";
  }
  Status publish(const std::string& id, const std::string& staging, const std::string& target,
                 bool read_only = false, bool ephemeral = false) {
    Draft<v1::NodePublishVolumeRequestEdit> q;
    q->set_volume_id(id);
    q->set_staging_target_path(staging);
    q->set_target_path(target);
    if (read_only) q->set_readonly(true);
    if (ephemeral) q->edit_volume_context().set("csi.storage.k8s.io/ephemeral", "true");
    return call<v1::NodePublishVolumeResponse>("Node/NodePublishVolume", q).status();
  }
  Status unpublish(const std::string& id, const std::string& target) {
    Draft<v1::NodeUnpublishVolumeRequestEdit> q;
    q->set_volume_id(id);
    q->set_target_path(target);
    return call<v1::NodeUnpublishVolumeResponse>("Node/NodeUnpublishVolume", q).status();
  }
  Status stage(const std::string& id, const std::string& staging,
               const std::vector<std::string>& flags = {}) {
    Draft<v1::NodeStageVolumeRequestEdit> q;
    q->set_volume_id(id);
    q->set_staging_target_path(staging);
    auto mount = q->edit_volume_capability().edit_mount();
    for (const std::string& f : flags) mount.edit_mount_flags().add(f);
    return call<v1::NodeStageVolumeResponse>("Node/NodeStageVolume", q).status();
  }
  Status unstage(const std::string& id, const std::string& staging) {
    Draft<v1::NodeUnstageVolumeRequestEdit> q;
    q->set_volume_id(id);
    q->set_staging_target_path(staging);
    return call<v1::NodeUnstageVolumeResponse>("Node/NodeUnstageVolume", q).status();
  }
  Status remove(const std::string& id) {
    Draft<v1::DeleteVolumeRequestEdit> q;
    q->set_volume_id(id);
    return call<v1::DeleteVolumeResponse>("Controller/DeleteVolume", q).status();
  }
  std::vector<std::string> volumes() const { return *list_directory(root + "/state/volumes"); }

  TemporaryDirectory directory = std::move(*TemporaryDirectory::make());
  const std::string root = directory.path();
  std::unique_ptr<LocalDriver> driver;
};

unsigned mode_of(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
}

TEST(LocalDriver, SaysWhoAndWhereItIs) {
  Driver d;
  Draft<v1::GetPluginInfoRequestEdit> who;
  auto info = d.call<v1::GetPluginInfoResponse>("Identity/GetPluginInfo", who);
  EXPECT_EQ(v1::GetPluginInfoResponse(info->root).name(), "local.csi.keles.dev");
  Draft<v1::NodeGetInfoRequestEdit> where;
  auto node = d.call<v1::NodeGetInfoResponse>("Node/NodeGetInfo", where);
  const v1::NodeGetInfoResponse n(node->root);
  EXPECT_EQ(n.node_id(), "here");
  EXPECT_EQ(n.accessible_topology().segments().get("topology.local.csi.keles.dev/node"), "here");
  Draft<v1::GetCapacityRequestEdit> room;
  auto capacity = d.call<v1::GetCapacityResponse>("Controller/GetCapacity", room);
  EXPECT_GT(v1::GetCapacityResponse(capacity->root).available_capacity(), 0);
  room->edit_accessible_topology().edit_segments().set(kLocalTopology, "elsewhere");
  capacity = d.call<v1::GetCapacityResponse>("Controller/GetCapacity", room);
  EXPECT_EQ(v1::GetCapacityResponse(capacity->root).available_capacity(), 0);
  EXPECT_TRUE(
      d.driver->answer("/csi.v1.Node/NodeFly", "", 0).status().is(Reason::kMethodNotAllowed));
  EXPECT_TRUE(d.driver->answer("/csi.v1.Controller/CreateVolume", "\xff\xff", 0)
                  .status()
                  .is(Reason::kBadRequest));
}

TEST(LocalDriver, WhatItCannotHaveIsRefused) {
  Driver d;
  auto refused = [&](const Draft<v1::CreateVolumeRequestEdit>& q) {
    return d.call<v1::CreateVolumeResponse>("Controller/CreateVolume", q).status();
  };
  Access shared;
  shared.mode = "ReadWriteMany";
  EXPECT_TRUE(refused(d.wanted("a", 1, shared)).is(Reason::kBadRequest));
  auto strange = d.wanted("a", 1, Access());
  strange->edit_parameters().set("colour", "red");
  EXPECT_THAT(refused(strange).message(), HasSubstr("there is no parameter colour"));
  auto away = d.wanted("a", 1, Access());
  away->edit_accessibility_requirements().edit_requisite().add().edit_segments().set(kLocalTopology,
                                                                                     "elsewhere");
  EXPECT_TRUE(refused(away).is(Reason::kTooManyRequests));
  Access fat;
  fat.fs_type = "fat";
  EXPECT_THAT(refused(d.wanted("a", 1, fat)).message(), HasSubstr("fat cannot be made"));
  auto copy = d.wanted("a", 1, Access());
  copy->edit_volume_content_source().edit_volume().set_volume_id("../../etc");
  EXPECT_TRUE(refused(copy).is(Reason::kNotFound));
  EXPECT_TRUE(d.volumes().empty());
  // Names become ids, whatever they are.
  const std::string id = d.create(d.wanted("../../etc", 1, Access()));
  EXPECT_EQ(id.size(), 64u);
  EXPECT_EQ(d.volumes().size(), 1u);
  EXPECT_TRUE(d.remove("../volumes/" + id).ok());
  EXPECT_EQ(d.volumes().size(), 1u);
}

TEST(LocalDriver, ADirectoryComesAndGoes) {
  with_mounts([] {
    Driver d;
    auto q = d.wanted("pvc-1", 1000, Access());
    const std::string id = d.create(q);
    EXPECT_EQ(id, "pvc-1");
    EXPECT_EQ(d.create(q), id);
    EXPECT_TRUE(d.call<v1::CreateVolumeResponse>("Controller/CreateVolume",
                                                 d.wanted("pvc-1", 2000, Access()))
                    .status()
                    .is(Reason::kAlreadyExists));
    const std::string one = d.root + "/one", two = d.root + "/two";
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(d.stage(id, d.root + "/staging").ok());
      EXPECT_TRUE(d.publish(id, d.root + "/staging", one).ok());
      EXPECT_TRUE(d.publish(id, d.root + "/staging", two, true).ok());
    }
    EXPECT_TRUE(write_file(one + "/word", "hello").ok());
    EXPECT_EQ(*read_file(two + "/word"), "hello");
    EXPECT_FALSE(write_file(two + "/other", "x").ok());
    // A snapshot keeps what was; a volume is made of it.
    Draft<v1::CreateSnapshotRequestEdit> s;
    s->set_name("snap-1");
    s->set_source_volume_id(id);
    auto snapshot = d.call<v1::CreateSnapshotResponse>("Controller/CreateSnapshot", s);
    // Not of what a container can write at that moment; one that only reads does no harm.
    EXPECT_TRUE(snapshot.status().is(Reason::kConflict));
    EXPECT_THAT(snapshot.status().message(), HasSubstr("in use at " + one));
    EXPECT_TRUE(d.remove(id).is(Reason::kConflict));
    EXPECT_TRUE(d.unpublish(id, one).ok());
    EXPECT_TRUE(d.remove(id).is(Reason::kConflict));  // still at two
    snapshot = d.call<v1::CreateSnapshotResponse>("Controller/CreateSnapshot", s);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status().to_string();
    const v1::CreateSnapshotResponse made(snapshot->root);
    EXPECT_TRUE(made.snapshot().ready_to_use());
    EXPECT_EQ(made.snapshot().creation_time().seconds(), 1000);
    EXPECT_TRUE(d.publish(id, "", one).ok());
    EXPECT_TRUE(write_file(one + "/word", "later").ok());
    auto copy = d.wanted("pvc-2", 1000, Access());
    copy->edit_volume_content_source().edit_snapshot().set_snapshot_id("snap-1");
    d.create(copy);
    EXPECT_EQ(*read_file(d.root + "/state/volumes/pvc-2/data/word"), "hello");
    auto clone = d.wanted("pvc-3", 1000, Access());
    clone->edit_volume_content_source().edit_volume().set_volume_id(id);
    EXPECT_TRUE(d.call<v1::CreateVolumeResponse>("Controller/CreateVolume", clone)
                    .status()
                    .is(Reason::kConflict));
    // Nor of what a subPath of it shows.
    const std::string part = d.root + "/part";
    ASSERT_TRUE(make_directories(one + "/sub").ok() && make_directories(part).ok());
    ASSERT_EQ(::mount((one + "/sub").c_str(), part.c_str(), nullptr, MS_BIND, nullptr), 0);
    EXPECT_TRUE(d.unpublish(id, one).ok());
    EXPECT_THAT(
        d.call<v1::CreateVolumeResponse>("Controller/CreateVolume", clone).status().message(),
        HasSubstr("in use at " + part));
    ASSERT_EQ(::umount(part.c_str()), 0);
    d.create(clone);
    EXPECT_EQ(*read_file(d.root + "/state/volumes/pvc-3/data/word"), "later");
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(d.unpublish(id, one).ok());
      EXPECT_TRUE(d.unpublish(id, two).ok());
      EXPECT_TRUE(d.unstage(id, d.root + "/staging").ok());
    }
    EXPECT_FALSE(path_exists(one));
    for (const char* gone : {"pvc-1", "pvc-1", "pvc-2", "pvc-3"}) EXPECT_TRUE(d.remove(gone).ok());
    EXPECT_TRUE(d.volumes().empty());
    EXPECT_TRUE(d.publish(id, "", one).is(Reason::kNotFound));
    // One that is inline goes with its pod.
    EXPECT_TRUE(d.publish("csi-abc", "", one, false, true).ok());
    EXPECT_EQ(d.volumes().size(), 1u);
    EXPECT_TRUE(d.unpublish("csi-abc", one).ok());
    EXPECT_TRUE(d.volumes().empty());
  });
}

TEST(LocalHost, WhatIsBeingCopiedIsHeldByTheCopy) {
  TemporaryDirectory directory = std::move(*TemporaryDirectory::make());
  const std::string from = directory.path() + "/from", to = directory.path() + "/to";
  ASSERT_TRUE(make_directories(from).ok() && make_directories(to).ok());
  {
    auto held = hold_place(from);
    ASSERT_TRUE(held.ok());
    EXPECT_TRUE(hold_place(from).status().is(Reason::kUnavailable));
    Copies copies;
    EXPECT_TRUE(copies.copy(from, to, "/data").is(Reason::kUnavailable));
    EXPECT_FALSE(copies.begun(to));
  }
  Copies copies;
  ASSERT_TRUE(write_file(from + "/data", "x").ok());
  Status s = copies.copy(from, to, "/data");
  while (s.is(Reason::kUnavailable)) {
    EXPECT_TRUE(hold_place(from).status().is(Reason::kUnavailable) || copies.begun(to));
    s = copies.copy(from, to, "/data");
  }
  EXPECT_TRUE(s.ok()) << s.to_string();
  EXPECT_EQ(*read_file(to + "/data"), "x");
  EXPECT_TRUE(hold_place(from).ok());
  s = copies.copy(from, to, "/nothing");
  EXPECT_THAT(s.message(), HasSubstr("cp failed"));
  EXPECT_FALSE(copies.begun(to));
}

TEST(LocalDriver, AnImageIsAsLargeAsItSaysAndGrows) {
  if (::access("/dev/loop-control", R_OK | W_OK) != 0) GTEST_SKIP() << "no loop devices";
  with_mounts([] {
    Driver d;
    Access ext4;
    ext4.fs_type = "ext4";
    const std::string id = d.create(d.wanted("pvc-1", 16 << 20, ext4));
    const std::string staging = d.root + "/staging", target = d.root + "/target";
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(d.stage(id, staging).ok());
      Status s = d.publish(id, staging, target);
      ASSERT_TRUE(s.ok()) << s.to_string();
    }
    auto total = [&] {
      Draft<v1::NodeGetVolumeStatsRequestEdit> q;
      q->set_volume_id(id);
      q->set_volume_path(target);
      auto got = d.call<v1::NodeGetVolumeStatsResponse>("Node/NodeGetVolumeStats", q);
      EXPECT_TRUE(got.ok());
      return v1::NodeGetVolumeStatsResponse(got->root).usage()[0].total();
    };
    const int64_t before = total();
    EXPECT_LT(before, 16 << 20);
    EXPECT_TRUE(write_file(target + "/word", "hello").ok());
    Draft<v1::ControllerExpandVolumeRequestEdit> grow;
    grow->set_volume_id(id);
    grow->edit_capacity_range().set_required_bytes(48 << 20);
    auto grown =
        d.call<v1::ControllerExpandVolumeResponse>("Controller/ControllerExpandVolume", grow);
    ASSERT_TRUE(grown.ok());
    EXPECT_TRUE(v1::ControllerExpandVolumeResponse(grown->root).node_expansion_required());
    Draft<v1::NodeExpandVolumeRequestEdit> follow;
    follow->set_volume_id(id);
    follow->set_volume_path(target);
    Status s = d.call<v1::NodeExpandVolumeResponse>("Node/NodeExpandVolume", follow).status();
    if (s.ok()) {
      EXPECT_GT(total(), before * 2);
    } else {
      EXPECT_TRUE(s.is(Reason::kConflict)) << s.to_string();  // the kernel forbids it
    }
    EXPECT_EQ(*read_file(target + "/word"), "hello");
    EXPECT_TRUE(d.remove(id).is(Reason::kConflict));
    EXPECT_EQ(mode_of(staging), 0777u);
    ASSERT_EQ(::chmod(staging.c_str(), 0700), 0);
    EXPECT_TRUE(d.unpublish(id, target).ok());
    EXPECT_TRUE(d.unstage(id, staging).ok());
    EXPECT_TRUE(d.unstage(id, staging).ok());
    // What was written is there at the next time, and as private as it was made.
    ASSERT_TRUE(
        d.stage(id, staging, {"nosuid", "nodev,noexec", "relatime", "errors=remount-ro"}).ok());
    struct statvfs fs {};
    ASSERT_EQ(::statvfs(staging.c_str(), &fs), 0);
    EXPECT_EQ(fs.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RELATIME | ST_RDONLY),
              static_cast<unsigned long>(ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RELATIME));
    EXPECT_EQ(mode_of(staging), 0700u);
    EXPECT_EQ(*read_file(staging + "/word"), "hello");
    ASSERT_TRUE(d.publish(id, staging, target).ok());
    s = d.call<v1::NodeExpandVolumeResponse>("Node/NodeExpandVolume", follow).status();
    EXPECT_TRUE(s.ok()) << s.to_string();
    EXPECT_GT(total(), before * 2);
    EXPECT_TRUE(d.unpublish(id, target).ok());
    // A clone, once nobody writes.
    auto clone = d.wanted("pvc-3", 48 << 20, ext4);
    clone->edit_volume_content_source().edit_volume().set_volume_id(id);
    EXPECT_TRUE(d.call<v1::CreateVolumeResponse>("Controller/CreateVolume", clone)
                    .status()
                    .is(Reason::kConflict));
    EXPECT_TRUE(d.unstage(id, staging).ok());
    EXPECT_EQ(d.create(clone), "pvc-3");
    ASSERT_TRUE(d.stage("pvc-3", staging).ok());
    EXPECT_EQ(*read_file(staging + "/word"), "hello");
    EXPECT_EQ(mode_of(staging), 0700u);
    EXPECT_TRUE(d.unstage("pvc-3", staging).ok());
    EXPECT_TRUE(d.remove("pvc-3").ok());
    // One that is broken is not mounted.
    std::filesystem::resize_file(d.root + "/state/volumes/pvc-1/image", 1 << 20);
    EXPECT_THAT(d.stage(id, staging).message(), HasSubstr("is not sound"));
    EXPECT_TRUE(d.unstage(id, staging).ok());
    EXPECT_TRUE(d.remove(id).ok());
    // As a block device.
    Access block;
    block.block = true;
    const std::string device = d.create(d.wanted("pvc-2", 8 << 20, block));
    ASSERT_TRUE(d.stage(device, staging).ok());
    ASSERT_TRUE(d.publish(device, staging, d.root + "/device").ok());
    EXPECT_TRUE(std::filesystem::is_block_file(d.root + "/device"));
    EXPECT_TRUE(d.unpublish(device, d.root + "/device").ok());
    EXPECT_TRUE(d.unstage(device, staging).ok());
    EXPECT_TRUE(d.remove(device).ok());
    EXPECT_TRUE(d.volumes().empty());
  });
}

TEST(LocalDriver, AnImageTakesItsRoomWhenItIsAsked) {
  Driver d;
  Access access;
  access.block = true;
  const std::string id = d.create(d.wanted("thin", 8 << 20, access));
  const std::string file = d.root + "/state/volumes/" + id + "/image";
  auto taken = [&file] {
    struct stat st {};
    EXPECT_EQ(stat(file.c_str(), &st), 0);
    return static_cast<int64_t>(st.st_blocks) * 512;
  };
  EXPECT_LT(taken(), 8 << 20);
  auto modify = [&](const std::string& volume, const std::string& key, const std::string& value) {
    Draft<v1::ControllerModifyVolumeRequestEdit> q;
    q->set_volume_id(volume);
    q->edit_mutable_parameters().set(key, value);
    return d.call<v1::ControllerModifyVolumeResponse>("Controller/ControllerModifyVolume", q)
        .status();
  };
  EXPECT_TRUE(modify(id, "allocation", "full").ok());
  EXPECT_GE(taken(), 8 << 20);
  EXPECT_TRUE(modify(id, "allocation", "full").ok()) << "again";
  EXPECT_TRUE(modify(id, "allocation", "sparse").ok());
  EXPECT_LT(taken(), 8 << 20);
  EXPECT_EQ(modify(id, "allocation", "half").reason(), Reason::kBadRequest);
  EXPECT_EQ(modify(id, "speed", "full").reason(), Reason::kBadRequest);
  EXPECT_EQ(modify("none", "allocation", "full").reason(), Reason::kNotFound);
  const std::string directory = d.create(d.wanted("d", 1 << 20, Access()));
  EXPECT_EQ(modify(directory, "allocation", "full").reason(), Reason::kBadRequest);
}

}  // namespace
}  // namespace keles::csi
