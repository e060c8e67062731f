// Which devices are chosen, and which are not: tables over small clusters.
#include <gtest/gtest.h>

#include <algorithm>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "scheduler/dra/allocator.h"
#include "scheduler/dra/claims.h"
#include "scheduler/dra/extended_resources.h"

namespace keles::scheduler::dra {
namespace {

using namespace api::resource_v1;

template <class T>
Ref<T> parse(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << d.status().to_string() << "\n" << yaml;
  return Ref<T>(std::make_shared<const Document>(std::move(*d)));
}

// A slice of driver "d.example.com": devices as "NAME ATTRIBUTES", attributes in YAML's flow form.
Ref<ResourceSlice> slice(const std::string& name, const std::string& more,
                         const std::vector<std::string>& devices, const std::string& pool = "p",
                         int generation = 1, int count = 1) {
  std::string yaml =
      "metadata: {name: " + name + "}\nspec:\n  driver: d.example.com\n  pool: {name: " + pool +
      ", generation: " + std::to_string(generation) +
      ", resourceSliceCount: " + std::to_string(count) + "}\n  " + more + "\n  devices:\n";
  for (const std::string& d : devices) {
    const size_t space = std::min(d.find(' '), d.size());
    yaml += "  - {name: " + d.substr(0, space) +
            (space < d.size() ? ", " + d.substr(space + 1) : "") + "}\n";
  }
  return parse<ResourceSlice>(yaml);
}

NodeInfo node(const std::string& name) {
  NodeInfo n;
  n.name = name;
  n.labels = read_labels(
      Map<std::string_view>(parse_yaml("{kubernetes.io/hostname: " + name + "}")->root));
  return n;
}

class DraTest : public testing::Test {
 protected:
  DraTest() {
    class_of("gpu", "[{cel: {expression: 'device.driver == \"d.example.com\"'}}]");
    class_of("big",
             "[{cel: {expression: 'device.capacity[\"d.example.com\"].memory.isGreaterThan("
             "quantity(\"10Gi\"))'}}]");
  }
  void class_of(const std::string& name, const std::string& selectors) {
    classes[name] = parse<DeviceClass>("metadata: {name: " + name +
                                       "}\nspec: {selectors: " + selectors + "}\n");
  }
  static Claim claim(const std::string& devices, const std::string& name = "c") {
    return parse<ResourceClaim>("metadata: {name: " + name + ", namespace: x}\nspec: {devices: {" +
                                devices + "}}\n");
  }
  static std::string exactly(const std::string& name, const std::string& more = "",
                             const std::string& of = "gpu", int count = 1) {
    return "{name: " + name + ", exactly: {deviceClassName: " + of +
           ", allocationMode: ExactCount, "
           "count: " +
           std::to_string(count) + more + "}}";
  }

  // "request=device ..." of each claim, or why there is none.
  std::string allocate(const std::vector<Claim>& claims, const std::string& at = "n1") {
    Inventory inventory(slices);
    Allocator allocator(&inventory, &cache, &in_use);
    for (const Claim& c : claims) {
      Status s = allocator.add(c, [this](std::string_view name) {
        auto it = classes.find(std::string(name));
        return it == classes.end() ? Ref<DeviceClass>() : it->second;
      });
      if (!s.ok()) return s.message();
    }
    auto chosen = allocator.allocate(node(at));
    if (!chosen.ok()) return chosen.status().message();
    if (!*chosen) return allocator.why_not().empty() ? "none" : "none: " + allocator.why_not();
    auto found = Allocator::results(**chosen, random);
    if (!found.ok()) return found.status().message();
    std::string out;
    for (const Document& d : *found) {
      if (!out.empty()) out += " | ";
      std::string one;
      for (const Value& r : d.root["devices"]["results"].items()) {
        one += (one.empty() ? "" : " ") + std::string(r["request"].as_string()) + "=" +
               std::string(r["device"].as_string());
      }
      out += one;
      last = to_json(d.root);
    }
    return out;
  }

  std::vector<Ref<ResourceSlice>> slices;
  std::map<std::string, Ref<DeviceClass>> classes;
  SelectorCache cache;
  InUse in_use;
  Random random{1};
  std::string last;
};

TEST_F(DraTest, WhereDevicesAre) {
  slices = {slice("s1", "nodeName: n1", {"a"}), slice("s2", "nodeName: n2", {"b"}, "q"),
            slice("s3", "allNodes: true", {"c"}, "r"),
            slice("s4",
                  "nodeSelector: {nodeSelectorTerms: [{matchExpressions: [{key: "
                  "kubernetes.io/hostname, operator: In, values: [n3]}]}]}",
                  {"d"}, "s")};
  const Claim one = claim("requests: [" + exactly("r") + "]");
  EXPECT_EQ(allocate({one}), "r=a");
  EXPECT_EQ(last,
            R"({"devices":{"results":[{"request":"r","driver":"d.example.com","pool":"p","device":)"
            R"("a"}]},"nodeSelector":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name",)"
            R"("operator":"In","values":["n1"]}]}]}})");
  EXPECT_EQ(allocate({one}, "n2"), "r=b");
  EXPECT_EQ(allocate({one}, "n4"), "r=c");
  EXPECT_EQ(last, R"({"devices":{"results":[{"request":"r","driver":"d.example.com","pool":"r",)"
                  R"("device":"c"}]}})");
  in_use.whole[{"d.example.com", "r", "c"}] = 1;
  EXPECT_EQ(allocate({one}, "n3"), "r=d");
  EXPECT_EQ(allocate({one}, "n4"), "none");
}

TEST_F(DraTest, PoolsAreWholeAndOfOneGeneration) {
  const Claim one = claim("requests: [" + exactly("r") + "]");
  slices = {slice("s1", "nodeName: n1", {"a"}, "p", 1, 2)};
  EXPECT_EQ(allocate({one}), "none") << "half of it is missing";
  slices.push_back(slice("s2", "nodeName: n1", {"b"}, "p", 1, 2));
  EXPECT_EQ(allocate({one}), "r=a");
  slices.push_back(slice("s3", "nodeName: n1", {"c"}, "p", 2, 1));
  EXPECT_EQ(allocate({one}), "r=c");
  slices = {slice("s1", "nodeName: n1", {"a", "a"})};
  EXPECT_EQ(allocate({one}), "none: invalid resource pools were encountered") << "of one name";
  EXPECT_EQ(allocate({claim("requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: "
                            "All}}]")}),
            "claim x/c, request r: asks for all devices, but resource pool d.example.com/p is "
            "currently invalid");
}

TEST_F(DraTest, Selectors) {
  slices = {
      slice("s1", "nodeName: n1",
            {"a attributes: {model: {string: x}, v: {version: 1.2.0}, num: {int: 4}}, capacity: "
             "{memory: {value: 8Gi}}",
             "b attributes: {model: {string: z1}, v: {version: 1.10.0}, other.com/ok: {bool: "
             "true}}, capacity: {memory: {value: 16Gi}}"})};
  auto with = [&](const std::string& expression, const std::string& of = "gpu") {
    return allocate({claim(
        "requests: [" +
        exactly("r", ", selectors: [{cel: {expression: '" + expression + "'}}]", of) + "]")});
  };
  EXPECT_EQ(with("device.attributes[\"d.example.com\"].model == \"z1\""), "r=b");
  EXPECT_EQ(with("device.attributes[\"d.example.com\"].v.isGreaterThan(semver(\"1.9.0\"))"), "r=b");
  EXPECT_EQ(with("\"ok\" in device.attributes[\"other.com\"]"), "r=b");
  EXPECT_EQ(with("device.attributes[\"d.example.com\"].?num.orValue(0) == 4"), "r=a");
  EXPECT_EQ(with("device.driver == \"d.example.com\"", "big"), "r=b");
  EXPECT_EQ(with("device.driver == \"z\""), "none");
  EXPECT_EQ(with("device.attributes[\"d.example.com\"].none == 1"),
            "claim x/c: selector #0: CEL runtime error: no such key: none");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r", "", "none") + "]")}),
            "claim x/c, request r: could not retrieve device class none: "
            "deviceclass.resource.k8s.io \"none\" not found");
}

TEST_F(DraTest, CountsAndAll) {
  slices = {slice("s1", "nodeName: n1", {"a", "b", "c"})};
  EXPECT_EQ(
      allocate({claim("requests: [" + exactly("r", "", "gpu", 2) + ", " + exactly("s") + "]")}),
      "r=a r=b s=c");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r", "", "gpu", 4) + "]")}), "none");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r") + "]"),
                      claim("requests: [" + exactly("s", "", "gpu", 2) + "]", "e")}),
            "r=a | s=b s=c");
  const Claim all = claim(
      "requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: "
      "All}}]");
  EXPECT_EQ(allocate({all}), "r=a r=b r=c");
  in_use.whole[{"d.example.com", "p", "b"}] = 1;
  EXPECT_EQ(allocate({all}), "none");
  EXPECT_EQ(allocate({all}, "n2"), "none");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r", "", "gpu", 33) + "]")}),
            "claim x/c: number of requested devices 33 exceeds the claim limit of 32");
}

TEST_F(DraTest, TheFirstAlternativeThatIsThere) {
  slices = {slice("s1", "nodeName: n1",
                  {"a capacity: {memory: {value: 8Gi}}", "b capacity: {memory: {value: 16Gi}}"})};
  const Claim c = claim(
      "requests: [{name: r, firstAvailable: [{name: large, deviceClassName: big, allocationMode: "
      "ExactCount, count: 1}, {name: any, deviceClassName: gpu, allocationMode: ExactCount, count: "
      "1}]}]");
  EXPECT_EQ(allocate({c}), "r/large=b");
  EXPECT_EQ(alternatives_score(*c, parse_json(last)->root), 8);
  in_use.whole[{"d.example.com", "p", "b"}] = 1;
  EXPECT_EQ(allocate({c}), "r/any=a");
  EXPECT_EQ(alternatives_score(*c, parse_json(last)->root), 7);
  // Back to another choice when a later request would find nothing.
  in_use = InUse();
  EXPECT_EQ(
      allocate({claim("requests: [" + exactly("any") + ", " + exactly("large", "", "big") + "]")}),
      "any=a large=b");
  slices = {slice("s1", "nodeName: n1",
                  {"a capacity: {memory: {value: 16Gi}}", "b capacity: {memory: {value: 8Gi}}"})};
  EXPECT_EQ(
      allocate({claim("requests: [" + exactly("any") + ", " + exactly("large", "", "big") + "]")}),
      "any=b large=a");
}

TEST_F(DraTest, Constraints) {
  slices = {slice(
      "s1", "nodeName: n1",
      {"a attributes: {d.example.com/numa: {int: 0}}",
       "b attributes: {d.example.com/numa: {int: 1}}", "c attributes: {numa: {int: 1}}", "d"})};
  const std::string two = "requests: [" + exactly("r") + ", " + exactly("s") + "]";
  EXPECT_EQ(allocate({claim(two + ", constraints: [{matchAttribute: d.example.com/numa}]")}),
            "r=b s=c");
  EXPECT_EQ(allocate({claim(two + ", constraints: [{requests: [s], matchAttribute: "
                                  "d.example.com/numa}]")}),
            "r=a s=b");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r", "", "gpu", 3) +
                            "], constraints: [{matchAttribute: d.example.com/numa}]")}),
            "none");
}

TEST_F(DraTest, WhoLooksOnlyAndWhoIsKeptOff) {
  slices = {slice("s1", "nodeName: n1",
                  {"a", "b taints: [{key: sick, value: very, effect: NoSchedule}]"})};
  in_use.whole[{"d.example.com", "p", "a"}] = 1;
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r") + "]")}), "none");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r", ", adminAccess: true") + "]")}), "r=a");
  EXPECT_NE(last.find("\"adminAccess\":true"), std::string::npos);
  EXPECT_EQ(allocate({claim("requests: [" +
                            exactly("r", ", tolerations: [{key: sick, operator: Exists}]") + "]")}),
            "r=b");
  EXPECT_EQ(allocate({claim("requests: [" +
                            exactly("r",
                                    ", tolerations: [{key: sick, operator: Equal, value: a "
                                    "little}]") +
                            "]")}),
            "none");
}

TEST_F(DraTest, Configuration) {
  slices = {slice("s1", "nodeName: n1", {"a", "b"})};
  classes["gpu"] = parse<DeviceClass>(
      "metadata: {name: gpu}\nspec: {config: [{opaque: {driver: d.example.com, parameters: {m: "
      "1}}}]}\n");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r") + ", " + exactly("s") +
                            "], config: [{requests: [s], opaque: {driver: d.example.com, "
                            "parameters: {k: 2}}}, {requests: [t], opaque: {driver: z, parameters: "
                            "{}}}]")}),
            "r=a s=b");
  EXPECT_NE(last.find(R"("config":[{"source":"FromClass","requests":["r","s"],"opaque":)"
                      R"({"driver":"d.example.com","parameters":{"m":1}}},{"source":"FromClaim",)"
                      R"("requests":["s"],"opaque":{"driver":"d.example.com","parameters":)"
                      R"({"k":2}}}])"),
            std::string::npos)
      << last;
}

// Partitionable devices: what the whole takes its parts cannot have, on whatever node.
TEST_F(DraTest, DevicesShareCounters) {
  const std::string half = "consumesCounters: [{counterSet: card, counters: {mem: {value: 20Gi}}}]";
  const std::string whole =
      "consumesCounters: [{counterSet: card, counters: {mem: {value: 40Gi}}}]";
  slices = {
      parse<ResourceSlice>(
          "metadata: {name: s0}\nspec: {driver: d.example.com, pool: {name: p, generation: 1, "
          "resourceSliceCount: 3}, nodeName: n1, sharedCounters: [{name: card, counters: "
          "{mem: {value: 40Gi}}}]}"),
      slice("s1", "nodeName: n1", {"half1 " + half, "half2 " + half, "all " + whole}, "p", 1, 3),
      slice("s2", "nodeName: n2", {"far " + half}, "p", 1, 3)};
  auto ask = [&](int count, const std::string& at = "n1") {
    return allocate({claim("requests: [" + exactly("r", "", "gpu", count) + "]")}, at);
  };
  EXPECT_EQ(ask(1), "r=half1");
  EXPECT_EQ(ask(2), "r=half1 r=half2");
  EXPECT_EQ(ask(3), "none");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r") + "]"),
                      claim("requests: [" + exactly("s") + "]", "e")}),
            "r=half1 | s=half2");
  in_use.whole[{"d.example.com", "p", "half1"}] = 1;
  EXPECT_EQ(ask(1), "r=half2");
  in_use.whole[{"d.example.com", "p", "far"}] = 1;  // on another node, of the same counters
  EXPECT_EQ(ask(1), "none");
  in_use = InUse();
  in_use.whole[{"d.example.com", "p", "all"}] = 1;
  EXPECT_EQ(ask(1), "none");
  EXPECT_EQ(ask(1, "n2"), "none");
  // What a trial took comes back: the first alternative takes all, the second fits.
  in_use = InUse();
  EXPECT_EQ(allocate({claim("requests: [{name: r, firstAvailable: [{name: three, deviceClassName: "
                            "gpu, allocationMode: ExactCount, count: 3}, {name: two, "
                            "deviceClassName: gpu, allocationMode: ExactCount, count: 2}]}]")}),
            "r/two=half1 r/two=half2");
}

TEST_F(DraTest, CountersThatAreNotThereMakeAPoolInvalid) {
  slices = {slice("s1", "nodeName: n1",
                  {"a consumesCounters: [{counterSet: none, counters: {mem: {value: 1}}}]"}),
            slice("s2", "nodeName: n2", {"b"}, "q")};
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r") + "]")}),
            "none: invalid resource pools were encountered");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r") + "]")}, "n2"), "r=b");
}

// Consumable capacity: several claims have a device at once, each a share.
TEST_F(DraTest, DevicesAreSharedByCapacity) {
  slices = {slice("s1", "nodeName: n1",
                  {"nic allowMultipleAllocations: true, capacity: {bandwidth: {value: 10G, "
                   "requestPolicy: {default: 1G, validRange: {min: 1G, max: 8G, step: 1G}}}}"})};
  auto wants = [&](const std::string& requests, const std::string& name = "r") {
    return exactly(name, ", capacity: {requests: {" + requests + "}}");
  };
  auto taken = [&](const std::string& of_requests) {
    const std::string got = allocate({claim("requests: [" + of_requests + "]")});
    if (got != "r=nic") return got;
    return std::string(parse_json(last)
                           ->root["devices"]["results"]
                           .items()[0]["consumedCapacity"]["bandwidth"]
                           .as_string());
  };
  EXPECT_EQ(taken(exactly("r")), "1G");
  EXPECT_NE(last.find("\"shareID\":\""), std::string::npos);
  EXPECT_EQ(taken(wants("bandwidth: 500M")), "1G");
  EXPECT_EQ(taken(wants("bandwidth: 2500M")), "3000000000") << "a step is counted in binary units";
  EXPECT_EQ(taken(wants("bandwidth: 9G")), "none") << "more than the policy allows";
  EXPECT_EQ(taken(wants("color: 1")), "none") << "no such capacity";
  EXPECT_EQ(allocate({claim("requests: [" + wants("bandwidth: 6G") + "]"),
                      claim("requests: [" + wants("bandwidth: 4G", "s") + "]", "e")}),
            "r=nic | s=nic");
  EXPECT_EQ(allocate({claim("requests: [" + wants("bandwidth: 6G") + "]"),
                      claim("requests: [" + wants("bandwidth: 5G", "s") + "]", "e")}),
            "none");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r", "", "gpu", 2) + "]")}), "none")
      << "one request has a device once";
  in_use.shared[{"d.example.com", "p", "nic"}] = {1,
                                                  {{"bandwidth", Quantity::parse_or_zero("8G")}}};
  EXPECT_EQ(taken(wants("bandwidth: 2G")), "1953125Ki");
  EXPECT_EQ(taken(wants("bandwidth: 3G")), "none");
  in_use.whole[{"d.example.com", "p", "nic"}] = 1;
  EXPECT_EQ(taken(wants("bandwidth: 1G")), "none");
}

// What users ask for is any number: none of it may come round to less than nothing.
TEST_F(DraTest, MoreThanThereAreNumbersIsNotTaken) {
  slices = {slice("s1", "nodeName: n1",
                  {"nic allowMultipleAllocations: true, capacity: {mem: {value: 8Gi, "
                   "requestPolicy: {default: 1Gi, validRange: {min: 1Gi, step: 1Gi}}}, "
                   "free: {value: 8Gi}}"})};
  for (const char* wanted :
       {"mem: \"9223372036854775807\"", "mem: \"9223372036854775808\"", "mem: 9000E",
        "free: \"9223372036854775807\"", "free: \"-1\"", "free: -9E"}) {
    const std::string request =
        exactly("r", ", capacity: {requests: {" + std::string(wanted) + "}}");
    EXPECT_EQ(allocate({claim("requests: [" + request + "]")}), "none") << wanted;
  }
  auto stored =
      parse_json(R"({"devices":{"results":[{"driver":"d","pool":"p","device":"x","shareID":"s",)"
                 R"("consumedCapacity":{"mem":"-8Gi","free":"1Gi"}}]}})");
  ASSERT_TRUE(stored.ok());
  each_taken_device(stored->root, [](const DeviceId&, const Amounts* taken) {
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(taken->size(), 1u);
    EXPECT_EQ(taken->begin()->first, "free");
  });
}

TEST_F(DraTest, ACapacityOfValidValues) {
  slices = {slice("s1", "nodeName: n1",
                  {"d allowMultipleAllocations: true, capacity: {mem: {value: 64Gi, requestPolicy: "
                   "{default: 8Gi, validValues: [8Gi, 16Gi, 32Gi]}}}"})};
  auto taken = [&](const std::string& mem) {
    const std::string got = allocate(
        {claim("requests: [" + exactly("r", ", capacity: {requests: {mem: " + mem + "}}") + "]")});
    if (got != "r=d") return got;
    return std::string(parse_json(last)
                           ->root["devices"]["results"]
                           .items()[0]["consumedCapacity"]["mem"]
                           .as_string());
  };
  EXPECT_EQ(taken("1Gi"), "8Gi");
  EXPECT_EQ(taken("9Gi"), "16Gi");
  EXPECT_EQ(taken("32Gi"), "32Gi");
  EXPECT_EQ(taken("33Gi"), "none");
  // A device for one claim must have what is asked for.
  slices = {slice("s1", "nodeName: n1",
                  {"small capacity: {mem: {value: 8Gi}}", "large capacity: {mem: {value: 64Gi}}"})};
  EXPECT_EQ(taken("33Gi"), "r=large");
  EXPECT_EQ(last.find("shareID"), std::string::npos);
}

TEST_F(DraTest, NoTwoAlike) {
  slices = {slice("s1", "nodeName: n1",
                  {"a attributes: {d.example.com/port: {int: 0}}",
                   "b attributes: {d.example.com/port: {int: 0}}",
                   "c attributes: {d.example.com/port: {int: 1}}", "d",
                   "e attributes: {d.example.com/port: {int: 2}}"})};
  const std::string apart = ", constraints: [{distinctAttribute: d.example.com/port}]";
  auto ask = [&](int count) {
    return allocate({claim("requests: [" + exactly("r", "", "gpu", count) + "]" + apart)});
  };
  EXPECT_EQ(ask(2), "r=a r=c");
  EXPECT_EQ(ask(3), "r=a r=c r=e");
  EXPECT_EQ(ask(4), "none");
  EXPECT_EQ(allocate({claim("requests: [" + exactly("r") + ", " + exactly("s") + "]" + apart)}),
            "r=a s=c");
  EXPECT_EQ(allocate({claim("requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: "
                            "All}}]" +
                            apart)}),
            "claim x/c, request r: cannot add device d.example.com/p/b because a claim constraint "
            "would not be satisfied");
}

TEST_F(DraTest, DevicesThatAreMadeReadyComeLast) {
  slices = {slice("s1", "allNodes: true",
                  {"fabric bindsToNode: true, bindingConditions: [attached], "
                   "bindingFailureConditions: [lost]"},
                  "a"),
            slice("s2", "nodeName: n1", {"local"}, "z")};
  const Claim one = claim("requests: [" + exactly("r") + "]");
  EXPECT_EQ(allocate({one}), "r=local");
  EXPECT_EQ(allocate({one}, "n2"), "r=fabric");
  EXPECT_NE(last.find(R"("bindingConditions":["attached"],"bindingFailureConditions":["lost"])"),
            std::string::npos);
  EXPECT_NE(last.find(R"("key":"metadata.name","operator":"In","values":["n2"])"),
            std::string::npos)
      << last;
}

TEST(ClaimTest, IsReadyWhenItsConditionsAre) {
  auto state = [](const std::string& conditions) {
    auto c = parse<ResourceClaim>(
        "metadata: {name: c}\nstatus:\n  allocation: {devices: {results: [{request: r, driver: d, "
        "pool: p, device: x, bindingConditions: [a, b], bindingFailureConditions: [f]}]}}\n  "
        "devices: [{driver: d, pool: p, device: x, conditions: [" +
        conditions + "]}]\n");
    auto ready = is_ready_to_bind(*c);
    return ready.ok() ? std::string(*ready ? "ready" : "not yet") : ready.status().message();
  };
  EXPECT_EQ(state(""), "not yet");
  EXPECT_EQ(state("{type: a, status: 'True'}"), "not yet");
  EXPECT_EQ(state("{type: a, status: 'True'}, {type: b, status: 'False'}"), "not yet");
  EXPECT_EQ(state("{type: a, status: 'True'}, {type: b, status: 'True'}"), "ready");
  EXPECT_EQ(
      state("{type: a, status: 'True'}, {type: b, status: 'True'}, {type: f, status: 'False'}"),
      "ready");
  EXPECT_EQ(state("{type: a, status: 'True'}, {type: b, status: 'True'}, {type: f, status: 'True', "
                  "reason: Gone, message: pulled}"),
            "device binding failed: claim=c, reason=Gone, message=\"pulled\"");
}

TEST_F(DraTest, ASearchThatTakesTooLongEnds) {
  std::vector<std::string> devices;
  for (int i = 0; i < 40; ++i) {
    devices.push_back("d" + std::to_string(i) +
                      " attributes: {d.example.com/g: {int: " + std::to_string(i / 5) + "}}");
  }
  slices = {slice("s1", "nodeName: n1", devices)};
  EXPECT_EQ(
      allocate({claim("requests: [" + exactly("r", "", "gpu", 20) +
                      "], constraints: [{requests: [r], matchAttribute: d.example.com/none}]")}),
      "none");
  std::string requests;
  for (int i = 0; i < 14; ++i) {
    requests += (i ? ", " : "") + exactly("r" + std::to_string(i));
  }
  requests += ", " + exactly("no", ", selectors: [{cel: {expression: 'false'}}]");
  EXPECT_EQ(allocate({claim("requests: [" + requests + "]")}),
            "node n1: timed out trying to allocate devices");
}

TEST(PodClaims, InUpstreamsWords) {
  auto pod = [](const std::string& more) {
    return parse<api::core_v1::Pod>(
        "metadata: {name: p, namespace: x, uid: u}\nspec: "
        "{resourceClaims: [{name: a, resourceClaimName: c}, {name: b, "
        "resourceClaimTemplateName: t}]}\n" +
        more);
  };
  std::map<std::string, Claim> all;
  auto find = [&](std::string_view, std::string_view name) {
    auto it = all.find(std::string(name));
    return it == all.end() ? Claim() : it->second;
  };
  auto said = [&](const std::string& more) {
    auto c = claims_of(*pod(more), find);
    return c.ok() ? std::to_string(c->size()) : c.status().message();
  };
  const std::string named = "status: {resourceClaimStatuses: [{name: b, resourceClaimName: made}]}";
  EXPECT_EQ(said(""), "could not find *v1.ResourceClaim \"x/c\"");
  all["c"] = parse<ResourceClaim>("metadata: {name: c, namespace: x}\n");
  EXPECT_EQ(said(""), "pod \"x/p\": ResourceClaim not created yet");
  all["made"] = parse<ResourceClaim>("metadata: {name: made, namespace: x}\n");
  EXPECT_EQ(said(named), "ResourceClaim x/made was not created for Pod x/p (Pod is not owner)");
  all["made"] = parse<ResourceClaim>(
      "metadata: {name: made, namespace: x, ownerReferences: [{controller: true, uid: u}]}\n");
  EXPECT_EQ(said(named), "2");
  EXPECT_EQ(said("status: {resourceClaimStatuses: [{name: b}]}"), "1");
}

// What a pod's claim for a.b/gpu (and others that are named) asks for, and for whom: as upstream's
// scheduler makes it.
std::string extended(const std::string& spec, const std::string& resources = "a.b/gpu") {
  const auto pod = parse<api::core_v1::Pod>("metadata: {name: p, namespace: x}\nspec: " + spec);
  std::map<std::string, std::string> class_of;
  for (size_t at = 0; at < resources.size();) {
    const size_t end = std::min(resources.find(' ', at), resources.size());
    class_of.emplace(resources.substr(at, end - at), "gpu");
    at = end + 1;
  }
  const ExtendedRequests r = extended_requests(*pod, class_of);
  std::string out;
  for (const auto& one : r.requests) out += one.name + "*" + std::to_string(one.count) + " ";
  out += "|";
  for (const auto& m : r.mappings) out += " " + m.container + "=" + m.request;
  return out;
}

TEST(ExtendedRequestsTest, WhoAsksForWhat) {
  auto c = [](const std::string& name, const std::string& requests, bool sidecar = false) {
    return "{name: " + name + (sidecar ? ", restartPolicy: Always" : "") +
           ", resources: {requests: {" + requests + "}}}";
  };
  const std::string none = "{name: none}";
  // One container; the second name of two in order.
  EXPECT_EQ(extended("{containers: [" + c("a", "a.b/gpu: '2', a.a/x: '1'") + "]}"),
            "container-0-request-1*2 | a=container-0-request-1");
  EXPECT_EQ(extended("{containers: [" + c("a", "a.b/gpu: '0'") + "," + none + "]}"), "|");
  EXPECT_EQ(extended("{containers: [" + c("a", "a.b/gpu: '1', cpu: '1'") + "," +
                     c("b", "a.b/gpu: '3'") + "]}"),
            "container-0-request-0*1 container-1-request-0*3 | a=container-0-request-0 "
            "b=container-1-request-0");
  // An init container uses what later ones have, and asks for what is more than that.
  const std::string two = ", containers: [" + c("a", "a.b/gpu: '2'") + "]}";
  EXPECT_EQ(extended("{initContainers: [" + c("i", "a.b/gpu: '1'") + "]" + two),
            "container-1-request-0*2 | a=container-1-request-0 i=container-1-request-0");
  EXPECT_EQ(extended("{initContainers: [" + c("i", "a.b/gpu: '3'") + "]" + two),
            "container-0-request-0*1 container-1-request-0*2 | a=container-1-request-0 "
            "i=container-1-request-0 i=container-0-request-0");
  // Of what several ask for more, the most is enough.
  EXPECT_EQ(extended("{initContainers: [" + c("i", "a.b/gpu: '3'") + "," + c("j", "a.b/gpu: '5'") +
                     "]" + two),
            "container-1-request-0*3 container-2-request-0*2 | a=container-2-request-0 "
            "i=container-2-request-0 i=container-1-request-0 j=container-2-request-0 "
            "j=container-1-request-0");
  // A sidecar before it is not for it.
  EXPECT_EQ(extended("{initContainers: [" + c("s", "a.b/gpu: '1'", true) + "," +
                     c("i", "a.b/gpu: '3'") + "]" + two),
            "container-0-request-0*1 container-1-request-0*1 container-2-request-0*2 | "
            "s=container-0-request-0 a=container-2-request-0 i=container-2-request-0 "
            "i=container-1-request-0");
  // Several resources; requests in the order of their names.
  EXPECT_EQ(extended("{containers: [" + c("a", "a.b/gpu: '1', z/z: '2'") + "," +
                         c("b", "z/z: '1'") + "]}",
                     "a.b/gpu z/z"),
            "container-0-request-0*1 container-0-request-1*2 container-1-request-0*1 | "
            "a=container-0-request-0 a=container-0-request-1 b=container-1-request-0");
}

TEST(ExtendedRequestsTest, WhichClassStandsForAResource) {
  auto of = [](const std::string& name, const std::string& time, const std::string& resource) {
    return parse<DeviceClass>("metadata: {name: " + name + ", creationTimestamp: '2026-01-0" +
                              time + "T00:00:00Z'}\nspec: {extendedResourceName: " + resource +
                              "}\n");
  };
  const ClassesByResource classes({of("a", "1", "x/gpu"), of("c", "2", "x/gpu"),
                                   of("b", "2", "x/gpu"), of("d", "3", "x/other")});
  auto name = [&](std::string_view resource) {
    const auto c = classes.find(resource);
    return c ? std::string(c->metadata().name()) : "none";
  };
  EXPECT_EQ(name("x/gpu"), "b");
  EXPECT_EQ(name("x/other"), "d");
  EXPECT_EQ(name("x/none"), "none");
  EXPECT_EQ(name("deviceclass.resource.kubernetes.io/a"), "a");
  EXPECT_TRUE(may_be_devices("deviceclass.resource.kubernetes.io/a"));
  EXPECT_TRUE(may_be_devices("x/gpu"));
  EXPECT_FALSE(may_be_devices("kubernetes.io/gpu"));
  EXPECT_FALSE(may_be_devices("hugepages-2Mi"));
  EXPECT_FALSE(may_be_devices("requests.x/gpu"));
}

}  // namespace
}  // namespace keles::scheduler::dra
