// What is behind a claim, in upstream's words when it is nothing; and whose the files become.
#include "node/volumes/persistent_volume.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sim_loop.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"
#include "machinery/codec_yaml.h"
#include "node/volumes/nfs.h"

namespace keles::node {
namespace {

using namespace api::core_v1;

struct Row {
  const char *claim, *volume;  // "": not there
  const char* mounts;          // of the container
  bool ephemeral;
  std::string answer;
};

Task<void> ask(Context ctx, Client* client, ClaimRequest request, std::string* answer) {
  auto r = co_await find_claimed(ctx, client, request);
  *answer = r.ok() ? std::string(r->volume->metadata().name()) : r.status().message();
}

TEST(PersistentVolumes, WhatIsBehindAClaim) {
  const char* bound =
      "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: ns, uid: u1}, "
      "spec: {volumeName: v}, status: {phase: Bound}}";
  const char* going =
      "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: ns, uid: u1, "
      "deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [x/y]}, spec: {volumeName: v}, "
      "status: {phase: Bound}}";
  const char* pending =
      "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: ns, uid: u1}, "
      "status: {phase: Pending}}";
  auto volume = [](const std::string& spec) {
    return "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {" + spec + "}}";
  };
  const std::string ours = volume("claimRef: {namespace: ns, name: c, uid: u1}"),
                    others = volume("claimRef: {namespace: ns, name: c, uid: u2}"),
                    nobodys = volume("hostPath: {path: /a}"),
                    block = volume("volumeMode: Block, claimRef: {uid: u1}, hostPath: {path: /a}"),
                    disk = volume("volumeMode: Block, claimRef: {uid: u1}, local: {path: /dev/x}");
  const char* mount = "volumeMounts: [{name: x, mountPath: /x}]";
  const char* device = "volumeDevices: [{name: x, devicePath: /x}]";
  const std::string what = "error processing PVC ns/c: ";
  for (const Row& r : std::initializer_list<Row>{
           {bound, ours.c_str(), mount, false, "v"},
           {"", "", mount, false,
            what + "failed to fetch PVC from API server: persistentvolumeclaims \"c\" not found"},
           {pending, "", mount, false, what + "PVC is not bound"},
           {going, ours.c_str(), mount, false, what + "PVC is being deleted"},
           {bound, "", mount, false,
            what + "failed to fetch PV v from API server: persistentvolumes \"v\" not found"},
           {bound, nobodys.c_str(), mount, false,
            what + "found PV object v but it has a nil pv.Spec.ClaimRef indicating it is not yet "
                   "bound to the claim"},
           {bound, others.c_str(), mount, false,
            what + "found PV object v but its pv.Spec.ClaimRef.UID u2 does not point to claim.UID "
                   "u1"},
           {bound, block.c_str(), mount, false,
            "volume x has volumeMode Block, but is specified in volumeMounts"},
           {bound, block.c_str(), device, false,
            "no block volume plugin matched: volumes of the type \"hostPath\" are no block "
            "devices"},
           {bound, disk.c_str(), device, false, "v"},
           {bound, ours.c_str(), device, false,
            "volume x has volumeMode Filesystem, but is specified in volumeDevices"},
           {bound, ours.c_str(), mount, true,
            "PVC ns/c was not created for pod ns/p (pod is not owner)"}}) {
    SimLoop loop{1};
    FakeClient client(loop);
    if (*r.claim != '\0') client.put_yaml(r.claim);
    if (*r.volume != '\0') client.put_yaml(r.volume);
    auto pod =
        parse_yaml("{metadata: {name: p, namespace: ns, uid: pod}, spec: {containers: [{name: c, " +
                   std::string(r.mounts) + "}]}}");
    ClaimRequest request;
    request.pod = Ref<Pod>(std::make_shared<const Document>(std::move(*pod)));
    request.volume = "x";
    request.claim = "c";
    request.ephemeral = r.ephemeral;
    std::string answer;
    spawn(loop, ask(Context::root(loop), &client, request, &answer));
    loop.advance(Duration(1s));
    EXPECT_EQ(answer, r.answer);
  }
}

TEST(Nfs, IsMountedAsUpstreamDoes) {
  NfsSource source;
  source.server = "srv";
  source.path = "/exports/a";
  EXPECT_EQ(nfs_arguments(source, "/at"),
            (std::vector<std::string>{"-t", "nfs", "srv:/exports/a", "/at"}));
  source.read_only = true;
  source.options = {"vers=4.1", "noatime"};
  EXPECT_EQ(nfs_arguments(source, "/at"),
            (std::vector<std::string>{"-t", "nfs", "-o", "noatime,ro,vers=4.1", "srv:/exports/a",
                                      "/at"}));
}

TEST(PersistentVolumes, AllBecomesTheGroups) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  auto directory = *TemporaryDirectory::make();
  const std::string root = directory.path() + "/v";
  ASSERT_TRUE(make_directories(root + "/a/b").ok());
  ASSERT_TRUE(write_file(root + "/a/b/f", "x").ok());
  ASSERT_TRUE(write_file(directory.path() + "/outside", "x").ok());
  ASSERT_EQ(symlink("../outside", (root + "/link").c_str()), 0);
  ASSERT_EQ(chmod((root + "/a/b/f").c_str(), 0600), 0);
  ASSERT_EQ(chmod((root + "/a").c_str(), 0700), 0);
  ASSERT_EQ(chmod((directory.path() + "/outside").c_str(), 0600), 0);
  auto facts = [&](const std::string& path) {
    struct stat st {};
    EXPECT_EQ(lstat(path.c_str(), &st), 0) << path;
    char text[32];
    snprintf(text, sizeof text, "%o %d", st.st_mode & 07777, static_cast<int>(st.st_gid));
    return std::string(text);
  };
  ASSERT_TRUE(give_to_group(root, 1234, false, false).ok());
  EXPECT_EQ(facts(root + "/a"), "2770 1234");
  EXPECT_EQ(facts(root + "/a/b/f"), "660 1234");
  EXPECT_EQ(facts(directory.path() + "/outside"), "600 0") << "behind a link";
  ASSERT_EQ(chmod((root + "/a/b/f").c_str(), 0600), 0);
  ASSERT_TRUE(give_to_group(root, 1234, false, true).ok());
  EXPECT_EQ(facts(root + "/a/b/f"), "600 1234") << "the root is as it should be";
  ASSERT_TRUE(give_to_group(root, 4321, false, true).ok());
  EXPECT_EQ(facts(root + "/a/b/f"), "660 4321");
}

}  // namespace
}  // namespace keles::node
