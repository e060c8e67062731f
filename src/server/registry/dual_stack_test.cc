// The families of a Service's addresses (KEP-563) in a cluster of two, of one, and of the other:
// whole requests to the registry, over a simulated disk.
#include <gtest/gtest.h>

#include "base/run_task.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/registry.h"
#include "server/registry/services.h"
#include "store/sim/sim_store.h"

namespace keles::registry {
namespace {

constexpr const char* kV4 = "10.96.0.0/16";
constexpr const char* kV6 = "fd00:10:96::/112";
constexpr const char* kBoth = "10.96.0.0/16,fd00:10:96::/112";
constexpr const char* kV6First = "fd00:10:96::/112,10.96.0.0/16";

const KindDesc* service_kind() { return find_kind("", "v1", "Service"); }
const KindDesc* address_kind() { return find_kind("networking.k8s.io", "v1", "IPAddress"); }

struct World {
  std::unique_ptr<SimLoop> loop = std::make_unique<SimLoop>(1);
  Context ctx = Context::root(*loop);
  SimDisk disk{*loop};
  std::unique_ptr<Store> store = *open_sim_store(disk);
  Registry registry;

  explicit World(const std::string& ranges) : registry(store.get(), ranges, "30000-32767") {
    Document d = body(find_kind("", "v1", "Namespace"), "metadata: {name: default}");
    auto made = run(
        registry.create(ctx, find_kind("", "v1", "Namespace"), "", std::move(d), WriteRequest()));
    EXPECT_TRUE(made.ok()) << made.status().message();
  }
  template <class T>
  T run(Task<T> t) {
    return run_task(*loop, std::move(t));
  }
  static Document body(const KindDesc* kind, const std::string& yaml) {
    auto d = parse_yaml("apiVersion: v1\nkind: " + std::string(kind->kind) + "\n" + yaml);
    EXPECT_TRUE(d.ok()) << yaml;
    Status s = decode_object(*kind, *d, FieldValidation::kStrict);
    EXPECT_TRUE(s.ok()) << s.message();
    return std::move(*d);
  }
  // What the Service says of its addresses: "POLICY [FAMILIES] [IPS]", or why it was refused.
  std::string said(const Result<ObjectPtr>& r) {
    if (!r.ok()) return r.status().message();
    DocumentPtr tree = (*r)->tree();
    const Value& spec = tree->root["spec"];
    std::string out(spec["ipFamilyPolicy"].as_string());
    for (const char* list : {"ipFamilies", "clusterIPs"}) {
      out += " [";
      bool first = true;
      for (const Value& v : spec[list].items()) {
        std::string text(v.as_string());
        if (text.starts_with("10.96.")) text = "4";
        if (text.starts_with("fd00:10:96::")) text = "6";
        out += (first ? "" : " ") + text;
        first = false;
      }
      out += "]";
    }
    EXPECT_EQ(spec["clusterIP"].as_string(), spec["clusterIPs"].at(0).as_string());
    return out;
  }
  Result<ObjectPtr> create(const std::string& spec, bool dry_run = false) {
    WriteRequest how;
    how.dry_run = dry_run;
    Document d = body(service_kind(), "metadata: {name: s}\nspec: {" + spec + "}");
    return run(registry.create(ctx, service_kind(), "default", std::move(d), how));
  }
  Result<ObjectPtr> patch(const std::string& spec) {
    auto d = parse_yaml("{spec: {" + spec + "}}");
    EXPECT_TRUE(d.ok()) << spec;
    return run(registry.patch(ctx, service_kind(), "default", "s", "", PatchType::kMerge,
                              std::move(*d), WriteRequest()));
  }
  std::vector<std::string> claimed() {
    std::vector<std::string> out;
    const std::string prefix = kind_prefix(*address_kind());
    store->snapshot()->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
      DocumentPtr tree = o->tree();
      const Value& labels = metadata(tree->root)["labels"];
      out.emplace_back(labels["ipaddress.kubernetes.io/ip-family"].as_string());
      return true;
    });
    return out;
  }
};

constexpr const char* kPorts = "selector: {a: b}, ports: [{port: 80}]";
constexpr const char* kInvalid = "Service \"s\" is invalid: ";

TEST(DualStack, WhatANewServiceGets) {
  const std::string invalid(kInvalid);
  const struct {
    std::string ranges, spec, want;
  } rows[] = {
      {kBoth, "", "SingleStack [IPv4] [4]"},
      {kV6First, "", "SingleStack [IPv6] [6]"},
      {kV6, "", "SingleStack [IPv6] [6]"},
      {kV4, ", ipFamilyPolicy: PreferDualStack", "PreferDualStack [IPv4] [4]"},
      {kV6, ", ipFamilyPolicy: PreferDualStack", "PreferDualStack [IPv6] [6]"},
      {kBoth, ", ipFamilyPolicy: PreferDualStack", "PreferDualStack [IPv4 IPv6] [4 6]"},
      {kV6First, ", ipFamilyPolicy: PreferDualStack", "PreferDualStack [IPv6 IPv4] [6 4]"},
      {kBoth, ", ipFamilyPolicy: RequireDualStack", "RequireDualStack [IPv4 IPv6] [4 6]"},
      {kBoth, ", ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6]",
       "RequireDualStack [IPv6 IPv4] [6 4]"},
      {kBoth, ", ipFamilies: [IPv6]", "SingleStack [IPv6] [6]"},
      {kBoth, ", clusterIP: 'fd00:10:96::77'", "SingleStack [IPv6] [6]"},
      {kBoth, ", ipFamilyPolicy: PreferDualStack, clusterIP: 'fd00:10:96::77'",
       "PreferDualStack [IPv6 IPv4] [6 4]"},
      {kV4, ", ipFamilyPolicy: RequireDualStack",
       invalid + "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not "
                 "configured for dual-stack services"},
      {kV4, ", ipFamilies: [IPv6]",
       invalid + "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"},
      {kV6, ", clusterIP: 10.96.0.9",
       invalid +
           "spec.clusterIPs[0]: Invalid value: [\"10.96.0.9\"]: IPv4 is not configured on this "
           "cluster"},
      {kBoth, ", ipFamilies: [IPv4, IPv6]",
       invalid +
           "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or "
           "'PreferDualStack' when multiple IP families are specified"},
      {kBoth, ", clusterIP: 'fd00:10:97::1'",
       invalid + "spec.clusterIPs: Invalid value: [\"fd00:10:97::1\"]: failed to allocate IP "
                 "fd00:10:97::1: the provided network does not match the current range"},
      {kBoth, ", clusterIP: 'fd00:10:96::'",
       invalid + "spec.clusterIPs: Invalid value: [\"fd00:10:96::\"]: failed to allocate IP "
                 "fd00:10:96::: the provided network does not match the current range"},
      {kBoth, ", clusterIP: None, ipFamilyPolicy: PreferDualStack",
       "PreferDualStack [IPv4 IPv6] [None]"},
  };
  for (const auto& row : rows) {
    World w(row.ranges);
    EXPECT_EQ(w.said(w.create(kPorts + row.spec)), row.want) << row.ranges << row.spec;
  }
}

TEST(DualStack, ASelectorlessHeadlessServiceHasBothAnywhere) {
  World w(kV4);
  EXPECT_EQ(w.said(w.create("clusterIP: None, ports: [{port: 80}]")),
            "RequireDualStack [IPv4 IPv6] [None]");
}

TEST(DualStack, UpAndDownAgain) {
  World w(kBoth);
  ASSERT_EQ(w.said(w.create(kPorts)), "SingleStack [IPv4] [4]");
  EXPECT_EQ(w.claimed(), std::vector<std::string>{"IPv4"});
  auto up = w.patch("ipFamilyPolicy: RequireDualStack");
  EXPECT_EQ(w.said(up), "RequireDualStack [IPv4 IPv6] [4 6]");
  EXPECT_EQ(w.claimed(), (std::vector<std::string>{"IPv4", "IPv6"}));
  // Less without a word about it is refused.
  EXPECT_EQ(w.said(w.patch("ipFamilies: [IPv4]")),
            std::string(kInvalid) +
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' "
                "to release the secondary IP family");
  auto down = w.patch("ipFamilyPolicy: SingleStack");
  EXPECT_EQ(w.said(down), "SingleStack [IPv4] [4]");
  EXPECT_EQ(w.claimed(), std::vector<std::string>{"IPv4"});
  // What others than its families change concerns no addresses.
  EXPECT_EQ(w.said(w.patch("ports: [{port: 81}]")), "SingleStack [IPv4] [4]");
}

TEST(DualStack, AnotherTypeGivesBothBack) {
  World w(kBoth);
  ASSERT_TRUE(w.create(kPorts + std::string(", ipFamilyPolicy: PreferDualStack")).ok());
  EXPECT_EQ(w.claimed().size(), 2u);
  auto away = w.patch(
      "type: ExternalName, externalName: a.b, clusterIP: null, clusterIPs: null, "
      "ipFamilies: null, ipFamilyPolicy: null");
  EXPECT_TRUE(away.ok()) << away.status().message();
  EXPECT_TRUE(w.claimed().empty());
  EXPECT_EQ(
      w.said(w.patch("type: ClusterIP, externalName: null, ipFamilyPolicy: RequireDualStack")),
      "RequireDualStack [IPv4 IPv6] [4 6]");
}

TEST(DualStack, ADryRunTakesNothing) {
  World w(kBoth);
  EXPECT_EQ(w.said(w.create(kPorts + std::string(", ipFamilyPolicy: PreferDualStack"), true)),
            "PreferDualStack [IPv4 IPv6] [4 6]");
  EXPECT_TRUE(w.claimed().empty());
}

TEST(ServiceRanges, AreJudgedAtTheStart) {
  const std::string flag = "--service-cluster-ip-range";
  const struct {
    const char* ranges;
    std::string want;
  } rows[] = {
      {"10.96.0.0/12", ""},
      {kV6First, ""},
      {"", "service-cluster-ip-range[0] is not a valid cidr"},
      {"10.96.0.0/16,x", "service-cluster-ip-range[1] is not a valid cidr"},
      {"10.96.0.0/16,10.97.0.0/16",
       flag + "[0] and " + flag + "[1] must be of different IP family"},
      {"10.96.0.0/16,fd00::/112,fd01::/112", flag + " must not contain more than two entries"},
      {"fd00::/48", "shortest allowed prefix length for service CIDR is 64, got 48"},
      {"10.96.0.0/32", flag + ": 10.96.0.0/32 has no address for a service"},
  };
  for (const auto& row : rows) {
    auto read = parse_service_ranges(row.ranges);
    EXPECT_EQ(read.ok() ? "" : read.status().message(), row.want) << row.ranges;
  }
}

TEST(ServicePool, GivesAllButTheEnds) {
  const auto both = *parse_service_ranges("10.96.0.0/30,fd00::/126");
  EXPECT_EQ(both[0].size(), 2u);
  EXPECT_EQ(both[0].address(1).text(), "10.96.0.2");
  EXPECT_FALSE(both[0].has(*IpAddress::parse("10.96.0.0")));
  EXPECT_FALSE(both[0].has(*IpAddress::parse("10.96.0.3")));
  EXPECT_EQ(both[1].size(), 3u);
  EXPECT_EQ(both[1].address(2).text(), "fd00::3");
  EXPECT_TRUE(both[1].has(*IpAddress::parse("fd00::3")));
  EXPECT_FALSE(both[1].has(*IpAddress::parse("fd00::")));
  EXPECT_EQ((*parse_service_ranges("fd00::/64"))[0].size(), uint64_t{1} << 63);
}

}  // namespace
}  // namespace keles::registry
