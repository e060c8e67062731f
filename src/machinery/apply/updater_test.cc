// Stories of several managers: each step is a write, what it answers, and who manages what then.
#include "machinery/apply/updater.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"

namespace keles::apply {
namespace {

// Only the kind's own version, and one that renames a field.
class OneVersion : public Versions {
 public:
  explicit OneVersion(const KindDesc& k) : kind_(k) {}
  const TypeDesc* type_of(std::string_view v) const override {
    return v == kind_.api_version() || v == other_ ? kind_.type : nullptr;
  }
  Document convert(const Value& tree, std::string_view, std::string_view) const override {
    Document d;
    d.root = deep_copy(d.arena, tree);
    return d;
  }
  std::string_view other_;

 private:
  const KindDesc& kind_;
};

class Story {
 public:
  explicit Story(std::string_view version, std::string_view kind)
      : kind_(*find_kind(version, kind)), versions(kind_) {}

  struct How {
    bool force = false;
    std::string_view subresource = {};
    std::vector<std::string_view> resets = {};
    std::string_view now = "2026-01-01T00:00:00Z";
  };

  // The whole object as it is to be.
  void update(std::string_view manager, std::string_view yaml, How how) {
    Document next = parse(yaml);
    normalized(next);
    Write w = write(manager, how);
    track_update(w, live_ ? &live_->root : nullptr, next);
    keep(std::move(next));
  }
  void update(std::string_view manager, std::string_view yaml) { update(manager, yaml, How()); }

  Status apply(std::string_view manager, std::string_view yaml, How how) {
    Document config = parse(yaml);
    if (config.root["kind"].is_null()) {
      config.root.set(config.arena, "apiVersion", Value::string(kind_.api_version()));
      config.root.set(config.arena, "kind", Value::string(kind_.kind));
    }
    Write w = write(manager, how);
    auto done = apply_config(w, live_ ? &live_->root : nullptr, config.root);
    if (!done.ok()) return done.status();
    unchanged = done->unchanged;
    normalized(done->object);
    keep(std::move(done->object));
    return {};
  }
  Status apply(std::string_view manager, std::string_view yaml) {
    return apply(manager, yaml, How());
  }

  // The object without its managers.
  std::string shown() const {
    Document d = live_->clone();
    if (Value* m = d.root.find("metadata")) {
      m->erase("managedFields");
      if (m->empty()) d.root.erase("metadata");
    }
    for (std::string_view k : {"apiVersion", "kind"}) d.root.erase(k);
    return to_json(d.root);
  }
  // One line an entry: manager operation[/subresource] [time] fields.
  std::string managers(bool times = false) const {
    std::string out;
    for (const Value& e : live_->root["metadata"]["managedFields"].items()) {
      out += std::string(e["manager"].as_string()) + " " + std::string(e["operation"].as_string());
      if (!e["subresource"].is_null()) out += "/" + std::string(e["subresource"].as_string());
      if (times) out += " " + std::string(e["time"].as_string());
      out += " " + std::string(e["fieldsV1"].as_string()) + "\n";
    }
    return out;
  }
  Document& live() { return *live_; }

 private:
  static Document parse(std::string_view yaml) {
    auto d = parse_yaml(yaml);
    EXPECT_TRUE(d.ok()) << yaml;
    if (d.ok() && d->root.is_null()) d->root = Value::map();
    return std::move(*d);
  }
  void normalized(Document& d) {
    Status s = normalize(*kind_.type, d);
    EXPECT_TRUE(s.ok()) << s.to_string();
  }
  Write write(std::string_view manager, const How& how) {
    resets_ = std::make_unique<Resets>(how.resets);
    Write w;
    w.kind = &kind_;
    w.versions = &versions;
    w.manager = manager;
    w.subresource = how.subresource;
    w.now = how.now;
    w.force = how.force;
    w.resets = resets_.get();
    return w;
  }
  void keep(Document d) {
    live_ = std::make_unique<Document>(std::move(d));
    live_->root.get_or_add(live_->arena, "metadata");
  }

  const KindDesc& kind_;
  std::unique_ptr<Document> live_;
  std::unique_ptr<Resets> resets_;

 public:
  OneVersion versions;
  bool unchanged = false;
};

using How = Story::How;

TEST(Updates, OwnWhatTheyChange) {
  Story s("v1", "ConfigMap");
  s.update("creator", "{data: {a: '1', b: '2'}}");
  EXPECT_EQ(s.managers(), "creator Update {\"f:data\":{\".\":{},\"f:a\":{},\"f:b\":{}}}\n");
  s.update("editor", "{data: {a: '9', b: '2'}}", {.now = "2026-01-02T00:00:00Z"});
  EXPECT_EQ(s.managers(true),
            "creator Update 2026-01-01T00:00:00Z {\"f:data\":{\".\":{},\"f:b\":{}}}\n"
            "editor Update 2026-01-02T00:00:00Z {\"f:data\":{\"f:a\":{}}}\n");
  // What goes is nobody's, and who has nothing left goes too.
  s.update("creator", "{data: {b: '2'}}", {.now = "2026-01-03T00:00:00Z"});
  EXPECT_EQ(s.managers(true),
            "creator Update 2026-01-01T00:00:00Z {\"f:data\":{\".\":{},\"f:b\":{}}}\n");
  // A write that changes nothing changes no times.
  s.update("editor", "{data: {b: '2'}}", {.now = "2026-01-04T00:00:00Z"});
  EXPECT_EQ(s.managers(true),
            "creator Update 2026-01-01T00:00:00Z {\"f:data\":{\".\":{},\"f:b\":{}}}\n");
}

TEST(Updates, KeepTheServersOwnMetadataOut) {
  Story s("v1", "ConfigMap");
  s.update("",
           "{metadata: {name: obj, namespace: ns, uid: u, generation: 3, resourceVersion: '7', "
           "creationTimestamp: '2026-01-01T00:00:00Z', labels: {a: b}}}");
  EXPECT_EQ(s.managers(), "unknown Update {\"f:metadata\":{\"f:labels\":{\".\":{},\"f:a\":{}}}}\n");
}

TEST(Updates, OfASubresourceAreAnEntryOfTheirOwn) {
  Story s("apps/v1", "Deployment");
  s.update("creator", "{spec: {replicas: 1}, status: {replicas: 5}}", {.resets = {"status"}});
  EXPECT_EQ(s.managers(), "creator Update {\"f:spec\":{\"f:replicas\":{}}}\n");
  s.update("creator", "{spec: {replicas: 9}, status: {replicas: 1}}",
           {.subresource = "status", .resets = {"spec"}, .now = "2026-01-02T00:00:00Z"});
  EXPECT_EQ(s.managers(),
            "creator Update {\"f:spec\":{\"f:replicas\":{}}}\n"
            "creator Update/status {\"f:status\":{\"f:replicas\":{}}}\n");
}

TEST(Updates, MayForgetManagersAndThenTrackNone) {
  for (std::string_view reset : {"[]", "[{}]"}) {
    Story s("v1", "ConfigMap");
    s.update("creator", "{data: {a: '1'}}");
    s.update("creator", "{metadata: {managedFields: " + std::string(reset) + "}, data: {a: '2'}}");
    EXPECT_EQ(s.managers(), "");
    s.update("creator", "{data: {a: '3'}}");
    EXPECT_EQ(s.managers(), "");
    // What is there when somebody applies belongs to one from before.
    ASSERT_TRUE(s.apply("applier", "{data: {b: '1'}}").ok());
    EXPECT_EQ(s.managers(),
              "applier Apply {\"f:data\":{\"f:b\":{}}}\n"
              "before-first-apply Update {\"f:data\":{\".\":{},\"f:a\":{}}}\n");
  }
}

TEST(Updates, MayEditManagers) {
  Story s("v1", "ConfigMap");
  s.update("creator", "{data: {a: '1'}}");
  s.update("creator",
           "{metadata: {managedFields: [{manager: x, operation: Update, apiVersion: v1, "
           "fieldsType: FieldsV1, fieldsV1: {'f:data': {'f:a': {}}}}]}, data: {a: '1'}}");
  EXPECT_EQ(s.managers(), "x Update {\"f:data\":{\"f:a\":{}}}\n");
  // What is no list of managers leaves them as they were.
  for (std::string_view bad :
       {"{manager: x, operation: Update, fieldsType: FieldsV1, fieldsV1: {}}",
        "{manager: x, operation: Update, apiVersion: v1, fieldsV1: {}}",
        "{manager: x, operation: Replace, apiVersion: v1, fieldsType: FieldsV1}",
        "{manager: x, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {a: "
        "{}}}"}) {
    s.update("creator", "{metadata: {managedFields: [" + std::string(bad) + "]}, data: {a: '1'}}");
    EXPECT_EQ(s.managers(), "x Update {\"f:data\":{\"f:a\":{}}}\n") << bad;
  }
}

TEST(Updates, AreCappedTheOldestFirst) {
  Story s("v1", "ConfigMap");
  std::string data;
  for (int i = 0; i < 13; ++i) {
    data += (i ? ", k" : "k") + std::to_string(i) + ": v";
    const std::string now =
        "2026-01-01T00:00:" + std::string(i < 10 ? "0" : "") + std::to_string(i) + "Z";
    s.update("m" + std::to_string(i), "{data: {" + data + "}}", {.now = now});
  }
  const std::string all = s.managers(true);
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 10) << all;
  EXPECT_TRUE(
      all.starts_with("ancient-changes Update 2026-01-01T00:00:03Z "
                      "{\"f:data\":{\".\":{},\"f:k0\":{},\"f:k1\":{},\"f:k2\":{},\"f:k3\":{}}}\n"
                      "m4 Update"))
      << all;
}

TEST(Apply, MakesAndChangesAnObject) {
  Story s("v1", "ConfigMap");
  ASSERT_TRUE(s.apply("a", "{metadata: {name: obj, labels: {x: w}}, data: {a: '1', b: '2'}}").ok());
  EXPECT_EQ(s.shown(),
            R"({"metadata":{"name":"obj","labels":{"x":"w"}},"data":{"a":"1","b":"2"}})");
  EXPECT_EQ(s.managers(true),
            "a Apply 2026-01-01T00:00:00Z {\"f:data\":{\"f:a\":{},\"f:b\":{}},"
            "\"f:metadata\":{\"f:labels\":{\"f:x\":{}}}}\n");
  // The same again: nothing changes, not even the time.
  ASSERT_TRUE(s.apply("a", "{metadata: {name: obj, labels: {x: w}}, data: {a: '1', b: '2'}}",
                      {.now = "2026-01-02T00:00:00Z"})
                  .ok());
  EXPECT_TRUE(s.unchanged);
  EXPECT_NE(s.managers(true).find("2026-01-01"), std::string::npos);
  // What is no longer named goes.
  ASSERT_TRUE(s.apply("a", "{metadata: {name: obj}, data: {b: '3'}}").ok());
  EXPECT_EQ(s.shown(), R"({"metadata":{"name":"obj"},"data":{"b":"3"}})");
  EXPECT_EQ(s.managers(), "a Apply {\"f:data\":{\"f:b\":{}}}\n");
}

TEST(Apply, ConflictsWithOthersValues) {
  Story s("apps/v1", "Deployment");
  ASSERT_TRUE(s.apply("one", "{metadata: {name: obj}, spec: {replicas: 1, paused: true}}").ok());
  Status no = s.apply("two", "{metadata: {name: obj}, spec: {replicas: 2}}");
  EXPECT_EQ(no.message(), "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
  EXPECT_TRUE(no.is(Reason::kConflict));
  ASSERT_EQ(no.details().causes.size(), 1u);
  EXPECT_EQ(no.details().causes[0].type, "FieldManagerConflict");
  EXPECT_EQ(no.details().causes[0].message, "conflict with \"one\"");
  EXPECT_EQ(no.details().causes[0].field, ".spec.replicas");
  no = s.apply("two", "{metadata: {name: obj}, spec: {replicas: 2, paused: false}}");
  EXPECT_EQ(
      no.message(),
      "Apply failed with 2 conflicts: conflicts with \"one\":\n- .spec.paused\n- .spec.replicas");
  // The same value is shared; force takes.
  ASSERT_TRUE(s.apply("two", "{metadata: {name: obj}, spec: {replicas: 1}}").ok());
  EXPECT_EQ(s.managers(),
            "two Apply {\"f:spec\":{\"f:replicas\":{}}}\n"
            "one Apply {\"f:spec\":{\"f:paused\":{},\"f:replicas\":{}}}\n");
  ASSERT_TRUE(s.apply("two", "{metadata: {name: obj}, spec: {replicas: 5}}",
                      {.force = true, .now = "2026-01-02T00:00:00Z"})
                  .ok());
  EXPECT_EQ(s.managers(),
            "one Apply {\"f:spec\":{\"f:paused\":{}}}\n"
            "two Apply {\"f:spec\":{\"f:replicas\":{}}}\n");
}

TEST(Apply, SharedFieldsStayUntilTheLastOneLetsGo) {
  Story s("v1", "ConfigMap");
  ASSERT_TRUE(s.apply("one", "{metadata: {name: obj}, data: {a: '1', b: '1'}}").ok());
  ASSERT_TRUE(s.apply("two", "{metadata: {name: obj}, data: {a: '1'}}").ok());
  ASSERT_TRUE(s.apply("one", "{metadata: {name: obj}, data: {b: '1'}}").ok());
  EXPECT_EQ(s.shown(), R"({"metadata":{"name":"obj"},"data":{"a":"1","b":"1"}})");
  ASSERT_TRUE(s.apply("two", "{metadata: {name: obj}}").ok());
  EXPECT_EQ(s.shown(), R"({"metadata":{"name":"obj"},"data":{"b":"1"}})");
  EXPECT_EQ(s.managers(), "one Apply {\"f:data\":{\"f:b\":{}}}\n");
}

TEST(Apply, LeavesItemsInWhichOthersHaveAPart) {
  Story s("v1", "Pod");
  ASSERT_TRUE(s.apply("one",
                      "{metadata: {name: obj}, spec: {containers: [{name: a, image: x}, "
                      "{name: b, image: z}]}}")
                  .ok());
  ASSERT_TRUE(
      s.apply("two", "{metadata: {name: obj}, spec: {containers: [{name: b, tty: true}]}}").ok());
  ASSERT_TRUE(
      s.apply("one", "{metadata: {name: obj}, spec: {containers: [{name: a, image: x}]}}").ok());
  // b is still two's; what only one named of it is gone.
  EXPECT_EQ(s.shown(),
            R"({"metadata":{"name":"obj"},"spec":{"containers":[{"name":"a","image":"x"},)"
            R"({"name":"b","tty":true}]}})");
  ASSERT_TRUE(s.apply("two", "{metadata: {name: obj}}").ok());
  EXPECT_EQ(s.shown(),
            R"({"metadata":{"name":"obj"},"spec":{"containers":[{"name":"a","image":"x"}]}})");
}

TEST(Apply, DoesNotTakeWhatUpdatesAdded) {
  Story s("v1", "Pod");
  ASSERT_TRUE(s.apply("one", "{metadata: {name: obj, labels: {a: b}}}").ok());
  s.update("other", "{metadata: {name: obj, labels: {a: b, c: d}}}");
  EXPECT_EQ(s.managers(),
            "one Apply {\"f:metadata\":{\"f:labels\":{\"f:a\":{}}}}\n"
            "other Update {\"f:metadata\":{\"f:labels\":{\"f:c\":{}}}}\n");
  ASSERT_TRUE(s.apply("one", "{metadata: {name: obj}}").ok());
  EXPECT_EQ(s.shown(), R"({"metadata":{"name":"obj","labels":{"c":"d"}}})");
}

TEST(Apply, ConflictsWithWhoUpdated) {
  Story s("apps/v1", "Deployment");
  ASSERT_TRUE(s.apply("one", "{metadata: {name: obj}, spec: {replicas: 1}}").ok());
  s.update("kubectl-edit", "{metadata: {name: obj}, spec: {replicas: 3}}");
  EXPECT_EQ(s.managers(), "kubectl-edit Update {\"f:spec\":{\"f:replicas\":{}}}\n");
  Status no = s.apply("one", "{metadata: {name: obj}, spec: {replicas: 1}}");
  EXPECT_EQ(
      no.message(),
      "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using apps/v1: .spec.replicas");
  s.update("hpa", "{metadata: {name: obj}, spec: {replicas: 3}, status: {replicas: 1}}",
           {.subresource = "status", .resets = {"spec"}});
  no = s.apply("one", "{metadata: {name: obj}, status: {replicas: 2}, spec: {replicas: 1}}");
  EXPECT_EQ(
      no.message(),
      "Apply failed with 2 conflicts: conflicts with \"hpa\" with subresource \"status\" using "
      "apps/v1:\n- .status.replicas\nconflicts with \"kubectl-edit\" using apps/v1:\n"
      "- .spec.replicas");
}

TEST(Apply, RefusesOtherKindsAndManagers) {
  Story s("v1", "ConfigMap");
  EXPECT_EQ(s.apply("a", "{apiVersion: apps/v1, kind: Deployment}").message(),
            "invalid object type: apps/v1, Kind=Deployment");
  EXPECT_EQ(s.apply("a", "{apiVersion: v1, kind: Secret}").message(),
            "invalid object type: /v1, Kind=Secret");
  EXPECT_EQ(s.apply("a", "{metadata: {name: obj, managedFields: [{manager: x}]}}").message(),
            "metadata.managedFields must be nil");
  Status bad = s.apply("a", "{metadata: {name: obj, namespace: ns}, dat: {a: b}, more: 1}");
  EXPECT_EQ(bad.message(),
            "failed to create typed patch object (ns/obj; /v1, Kind=ConfigMap): .dat: field not "
            "declared in schema");
  EXPECT_EQ(bad.code(), 500);
}

TEST(Apply, TakesOverFromClientSideApplyAsKubectl) {
  Story s("v1", "ConfigMap");
  const std::string last =
      R"({\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"obj\"},\"data\":{\"a\":\"1\",\"b\":\"1\"}})";
  const std::string live =
      "{metadata: {name: obj, annotations: {"
      "kubectl.kubernetes.io/last-applied-configuration: \"" +
      last + "\"}}, ";
  s.update("kubectl-client-side-apply", live + "data: {a: '1', b: '1'}}");
  s.update("other", live + "data: {a: '1', b: '7'}}");
  // a is as it was applied: kubectl may change it; b is not.
  Status no = s.apply("kubectl", "{metadata: {name: obj}, data: {a: '2', b: '2'}}");
  EXPECT_EQ(no.message(),
            "Apply failed with 1 conflict: conflict with \"other\" using v1: .data.b");
  EXPECT_FALSE(s.apply("somebody", "{metadata: {name: obj}, data: {a: '2'}}").ok());
  ASSERT_TRUE(s.apply("kubectl", "{metadata: {name: obj}, data: {a: '2'}}").ok());
  EXPECT_EQ(s.live().root["data"]["a"].as_string(), "2");
  // The annotation follows, so that client-side apply goes on from there.
  EXPECT_EQ(s.live()
                .root["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
                .as_string(),
            "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\"},\"kind\":\"ConfigMap\","
            "\"metadata\":{\"name\":\"obj\"}}\n");
}

TEST(Apply, ForgetsVersionsThatAreGone) {
  Story s("apps/v1", "Deployment");
  s.update("x", "{spec: {replicas: 1}}");
  s.update("x",
           "{metadata: {managedFields: [{manager: old, operation: Update, apiVersion: "
           "extensions/v1beta1, fieldsType: FieldsV1, fieldsV1: {'f:spec': {'f:replicas': {}}}}]}, "
           "spec: {replicas: 1}}");
  ASSERT_TRUE(s.apply("a", "{metadata: {name: obj}, spec: {replicas: 2}}").ok());
  EXPECT_EQ(s.managers(), "a Apply {\"f:spec\":{\"f:replicas\":{}}}\n");
}

TEST(Apply, KnowsOtherVersionsOfTheKind) {
  Story s("apps/v1", "Deployment");
  s.versions.other_ = "apps/v2";
  s.update("x", "{spec: {replicas: 1}}");
  s.update("x",
           "{metadata: {managedFields: [{manager: old, operation: Update, apiVersion: "
           "apps/v2, fieldsType: FieldsV1, fieldsV1: {'f:spec': {'f:replicas': {}}}}]}, "
           "spec: {replicas: 1}}");
  EXPECT_EQ(s.apply("a", "{metadata: {name: obj}, spec: {replicas: 2}}").message(),
            "Apply failed with 1 conflict: conflict with \"old\" using apps/v2: .spec.replicas");
}

TEST(Scale, KeepsItsManagersInTheObject) {
  FieldOfSubresource f;
  f.parent_version = "apps/v1";
  f.inner_version = "autoscaling/v1";
  f.inner = "spec.replicas";
  f.path_in = [](std::string_view v) -> std::optional<std::string_view> {
    if (v != "apps/v1") return std::nullopt;
    return "spec.replicas";
  };
  auto list = [](std::string_view yaml) { return std::move(*parse_yaml(yaml)); };
  auto entry = [](std::string_view name, std::string_view operation, std::string_view version,
                  std::string_view fields, std::string_view more = "") {
    return "{manager: " + std::string(name) + ", operation: " + std::string(operation) +
           ", apiVersion: " + std::string(version) +
           ", fieldsType: FieldsV1, fieldsV1: " + std::string(fields) + std::string(more) + "}";
  };
  const std::string both = "{'f:spec': {'f:replicas': {}, 'f:selector': {}}}";
  const std::string replicas = "{'f:spec': {'f:replicas': {}}}";
  struct Row {
    std::string parent, inner, now, parent_now;
  };
  for (const Row& r : {
           // Somebody else scales: they get the field, the owner keeps the rest.
           Row{entry("a", "Apply", "apps/v1", both), "a Apply autoscaling/v1\n",
               entry("s", "Update", "autoscaling/v1", replicas, ", subresource: scale"),
               "a Apply apps/v1 {\"f:spec\":{\"f:selector\":{}}}\n"
               "s Update/scale apps/v1 {\"f:spec\":{\"f:replicas\":{}}}\n"},
           // Nobody took it.
           Row{entry("a", "Apply", "apps/v1", both), "a Apply autoscaling/v1\n",
               entry("a", "Apply", "autoscaling/v1", replicas),
               "a Apply apps/v1 {\"f:spec\":{\"f:replicas\":{},\"f:selector\":{}}}\n"},
           // Who had nothing else is gone.
           Row{entry("a", "Update", "apps/v1", replicas), "a Update autoscaling/v1\n",
               entry("s", "Apply", "autoscaling/v1", replicas, ", subresource: scale"),
               "s Apply/scale apps/v1 {\"f:spec\":{\"f:replicas\":{}}}\n"},
           // A version that is not served, and one who has no part in the replicas.
           Row{entry("a", "Apply", "apps/v9", both), "", "", ""},
           Row{entry("a", "Apply", "apps/v1", "{'f:spec': {'f:selector': {}}}"), "", "",
               "a Apply apps/v1 {\"f:spec\":{\"f:selector\":{}}}\n"},
       }) {
    Document parent = list("[" + r.parent + "]"), now = list("[" + r.now + "]");
    Arena a;
    std::string out;
    for (const Value& e : managed_in_subresource(a, parent.root, f).items()) {
      out += std::string(e["manager"].as_string()) + " " + std::string(e["operation"].as_string()) +
             " " + std::string(e["apiVersion"].as_string()) + "\n";
      EXPECT_EQ(e["fieldsV1"].as_string(), "{\"f:spec\":{\"f:replicas\":{}}}");
    }
    EXPECT_EQ(out, r.inner);
    out.clear();
    for (const Value& e : managed_in_parent(a, parent.root, now.root, f, true).items()) {
      out += std::string(e["manager"].as_string()) + " " + std::string(e["operation"].as_string());
      if (!e["subresource"].is_null()) out += "/" + std::string(e["subresource"].as_string());
      out += " " + std::string(e["apiVersion"].as_string()) + " " +
             std::string(e["fieldsV1"].as_string()) + "\n";
    }
    EXPECT_EQ(out, r.parent_now);
  }
}

}  // namespace
}  // namespace keles::apply
