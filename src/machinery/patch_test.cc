#include "machinery/patch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/file.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/value_steps.h"

namespace keles {
namespace {

Document doc(std::string_view yaml) {
  auto d = parse_yaml(yaml);
  EXPECT_TRUE(d.ok()) << yaml << d.status().message();
  return std::move(*d);
}
std::string text(Result<Document> r) {
  return r.ok() ? write_yaml(r->root) : r.status().message() + "\n";
}
std::string canonical(std::string_view yaml) { return write_yaml(doc(yaml).root); }

std::string json(std::string_view original, std::string_view patch) {
  return text(apply_json_patch(doc(original).root, doc(patch).root));
}

TEST(JsonPatch, Operations) {
  EXPECT_EQ(json("{a: {b: [1, 2]}}", "[{op: add, path: /a/b/1, value: 9}]"),
            canonical("{a: {b: [1, 9, 2]}}"));
  EXPECT_EQ(json("{a: [1]}", "[{op: add, path: /a/-, value: 2}]"), canonical("{a: [1, 2]}"));
  EXPECT_EQ(json("{a: 1, b: 2}", "[{op: remove, path: /a}]"), canonical("{b: 2}"));
  EXPECT_EQ(json("{a: [1, 2, 3]}", "[{op: remove, path: /a/-1}]"), canonical("{a: [1, 2]}"));
  EXPECT_EQ(json("{a: 1}", "[{op: replace, path: /a, value: {x: y}}]"), canonical("{a: {x: y}}"));
  EXPECT_EQ(json("{a: {x: 1}}", "[{op: move, from: /a/x, path: /b}]"), canonical("{a: {}, b: 1}"));
  EXPECT_EQ(json("{a: {x: 1}}", "[{op: copy, from: /a, path: /b}]"),
            canonical("{a: {x: 1}, b: {x: 1}}"));
  EXPECT_EQ(
      json("{a/b: 1, 'm~n': 2}", "[{op: test, path: /a~1b, value: 1}, {op: remove, path: /m~0n}]"),
      canonical("{a/b: 1}"));
  EXPECT_EQ(json("{a: 1}", "[{op: test, path: /b, value: null}]"), canonical("{a: 1}"));
}

// What a client was shown of an object is there, though the tree does not have it.
TEST(JsonPatch, IsAboutWhatWasShown) {
  const KindDesc* kind = find_kind("v1", "Pod");
  const Document original = doc("{metadata: {name: a}, spec: {nodeName: worker}}");
  auto patched = apply_patch(
      PatchType::kJson, *kind->type, original.root,
      doc("[{op: test, path: /status, value: {}}, {op: test, path: /spec/containers, value: null}, "
          "{op: add, path: /status/phase, value: Running}]")
          .root);
  ASSERT_TRUE(patched.ok()) << patched.status().message();
  EXPECT_EQ(to_json(patched->root["status"]), R"({"phase":"Running"})");
  EXPECT_EQ(patched->root["spec"]["nodeName"].as_string(), "worker");
}

TEST(JsonPatch, Errors) {
  EXPECT_EQ(json("{spec: {replicas: 1}}", "[{op: test, path: /spec/replicas, value: 2}]"),
            "testing value /spec/replicas failed: test failed\n");
  EXPECT_EQ(json("{a: 1}", "[{op: add, path: /x/y, value: 1}]"),
            "add operation does not apply: doc is missing path: \"/x/y\": missing value\n");
  EXPECT_EQ(json("{a: [1]}", "[{op: replace, path: /a/1, value: 1}]"),
            "replace operation does not apply: doc is missing key: /a/1: missing value\n");
  EXPECT_EQ(json("{a: 1}", "[{op: replace, path: /b/c, value: 1}]"),
            "replace operation does not apply: doc is missing path: /b/c: missing value\n");
  EXPECT_EQ(json("{a: 1}", "[{op: remove, path: /b}]"),
            "error in remove for path: '/b': Unable to remove nonexistent key: b: missing value\n");
  EXPECT_EQ(json("{a: [1]}", "[{op: add, path: /a/5, value: 1}]"),
            "error in add for path: '/a/5': Unable to access invalid index: 5: invalid index "
            "referenced\n");
  EXPECT_EQ(json("{a: [1]}", "[{op: add, path: /a/x, value: 1}]"),
            "error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: "
            "parsing \"x\": invalid syntax\n");
  EXPECT_EQ(json("{a: [1]}", "[{op: test, path: /a/9999999999999999999, value: 1}]"),
            "error in test for path: '/a/9999999999999999999': strconv.Atoi: parsing "
            "\"9999999999999999999\": value out of range\n");
  EXPECT_EQ(json("{a: 1}", "[{op: move, from: /b, path: /c}]"),
            "error in move for path: 'b': Unable to remove nonexistent key: b: missing value\n");
  EXPECT_EQ(json("{a: {b: 1}}", "[{op: move, from: /a, path: /a/b/c}]"),
            "move operation does not apply: doc is missing destination path: /a/b/c: missing "
            "value\n");
  EXPECT_EQ(json("{a: 1}", "[{op: copy, path: /c}]"),
            "copy operation failed to decode from: operation, missing from field: missing value\n");
  EXPECT_EQ(json("{a: 1}", "[{op: replace, value: 1}]"),
            "replace operation failed to decode path: operation missing path field: missing "
            "value\n");
  EXPECT_EQ(json("{a: 1}", "[{op: test, path: 7, value: 1}]"),
            "test operation failed to decode path: json: cannot unmarshal number into Go value of "
            "type string\n");
  EXPECT_EQ(json("{a: 1}", "[{op: add, path: '', value: {}}]"),
            "add operation does not apply: doc is missing path: \"\": missing value\n");
  EXPECT_EQ(json("{a: 1}", "[null]"), "Unexpected kind: unknown\n");
  EXPECT_EQ(json("{}", "[{op: jump, path: /a}]"), "Unexpected kind: jump\n");
  EXPECT_FALSE(apply_json_patch(doc("{}").root, doc("{}").root).ok());
}

// Where upstream is laxer than the RFC, and people's patches count on it.
TEST(JsonPatch, TakesWhatUpstreamTakes) {
  EXPECT_EQ(json("{a: 1}", "[{op: replace, path: /b, value: 2}]"), canonical("{a: 1, b: 2}"));
  EXPECT_EQ(json("{a: 1}", "[{op: copy, from: /b, path: /a}]"), canonical("{a: null}"));
  EXPECT_EQ(json("{a: [1]}", "[{op: add, path: /a/-}]"), canonical("{a: [1, null]}"));
  EXPECT_EQ(json("{a: [1, 2]}", "[{op: add, path: /a/-1, value: 3}]"), canonical("{a: [1, 2, 3]}"));
  EXPECT_EQ(json("{a: [1, 2]}", "[{op: replace, path: /a/+1, value: 3}]"),
            canonical("{a: [1, 3]}"));
  EXPECT_EQ(json("{a: [1, 2]}", "[{op: test, path: /a/01, value: 2}]"), canonical("{a: [1, 2]}"));
  EXPECT_EQ(json("{a: 1}", "[{op: replace, path: '', value: {b: 2}}]"), canonical("{b: 2}"));
  EXPECT_EQ(json("{a: 1}", "[]"), canonical("{a: 1}"));
}

TEST(JsonPatch, HasLimits) {
  const Document small = doc("{a: 1}");
  auto times = [&](size_t n, const char* op) {
    Document patch;
    patch.root = Value::list();
    const Document one = doc(op);
    for (size_t i = 0; i < n; ++i) patch.root.append(patch.arena, one.root);
    return apply_json_patch(small.root, patch.root).status();
  };
  EXPECT_TRUE(times(10'000, "{op: test, path: /a, value: 1}").ok());
  Status many = times(10'001, "{op: test, path: /a, value: 1}");
  EXPECT_TRUE(many.is(Reason::kRequestEntityTooLarge));
  EXPECT_EQ(
      many.message(),
      "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got "
      "10001");
  // What doubles with each operation is stopped before it fills the memory.
  Document patch;
  patch.root = Value::list();
  const Document first = doc("{op: add, path: /a, value: [0123456789012345678901234567890123456]}"),
                 more = doc("{op: copy, from: /a, path: /a/-}");
  patch.root.append(patch.arena, first.root);
  for (int i = 0; i < 60; ++i) patch.root.append(patch.arena, more.root);
  Status grown = apply_json_patch(small.root, patch.root).status();
  EXPECT_TRUE(grown.is(Reason::kInvalid));
  EXPECT_TRUE(grown.message().starts_with(
      "Unable to complete the copy, the accumulated size increase of copy is "))
      << grown.message();
}

// The common cases of RFC 6902. Those by index are where upstream's answer is another; the rows
// above say which.
TEST(JsonPatch, CommonCases) {
  const std::filesystem::path folder = "../shared/oracles/json-patch";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "the shared cases are not at " << folder;
  const std::set<size_t> other{11, 12, 19, 63, 77, 78, 79, 82, 87, 88};
  size_t cases = 0;
  for (const char* name : {"spec_tests.json", "tests.json"}) {
    auto text = read_file((folder / name).string());
    ASSERT_TRUE(text.ok());
    auto all = parse_json(*text);
    ASSERT_TRUE(all.ok());
    const bool spec = name[0] == 's';
    size_t i = 0;
    for (const Value& c : all->root.items()) {
      const size_t index = i++;
      const Value* patch = c.find("patch");
      if (!patch || c["disabled"].as_bool() || !patch->is_list()) continue;
      const Value& original = c["doc"];
      if (!original.is_map() && !original.is_list()) continue;
      ++cases;
      auto done = apply_json_patch(original, *patch);
      const bool refused = c.find("error") != nullptr;
      const Value* wanted = c.find("expected");
      const bool as_said =
          refused ? !done.ok() : done.ok() && (!wanted || done->root.equals(*wanted));
      EXPECT_EQ(as_said, spec || !other.count(index))
          << name << " " << index << ": " << c["comment"].as_string() << " " << to_json(*patch)
          << " " << (done.ok() ? to_json(done->root) : done.status().message());
    }
  }
  EXPECT_GT(cases, 100U);
}

TEST(MergePatch, Rfc7386) {
  auto merge = [](const char* o, const char* p) {
    return text(apply_merge_patch(doc(o).root, doc(p).root));
  };
  EXPECT_EQ(merge("{a: b}", "{a: c}"), canonical("{a: c}"));
  EXPECT_EQ(merge("{a: b}", "{b: c}"), canonical("{a: b, b: c}"));
  EXPECT_EQ(merge("{a: b, b: c}", "{a: null}"), canonical("{b: c}"));
  EXPECT_EQ(merge("{a: [b]}", "{a: c}"), canonical("{a: c}"));
  EXPECT_EQ(merge("{a: {b: c}}", "{a: {b: d, c: null}}"), canonical("{a: {b: d}}"));
  EXPECT_EQ(merge("{}", "{a: {bb: {ccc: null}}}"), canonical("{a: {bb: {}}}"));
  EXPECT_EQ(merge("{a: [1]}", "{a: [{b: null, c: 1}, null]}"), canonical("{a: [{c: 1}, null]}"));
  EXPECT_EQ(merge("{a: {x: 1}}", "{a: [{b: null}]}"), canonical("{a: [{b: null}]}"));
  EXPECT_EQ(write_yaml(create_merge_patch(doc("{a: 1, b: {c: 1, d: 2}}").root,
                                          doc("{b: {c: 1, d: 3}, e: 4}").root)
                           .root),
            canonical("{a: null, b: {d: 3}, e: 4}"));
}

const TypeDesc* pod() { return find_kind("v1", "Pod")->type; }
const TypeDesc* deployment() { return find_kind("apps/v1", "Deployment")->type; }

std::string strategic(const TypeDesc* t, const char* o, const char* p) {
  return text(apply_strategic_patch(t, doc(o).root, doc(p).root));
}

TEST(MergePatch, ChangesItsMindWithinAPatch) {
  Document patch;
  patch.root = Value::map();
  for (const char* key : {"a", "b", "c", "a", "a"}) {
    patch.root.append_member(patch.arena, key, Value());
  }
  patch.root.append_member(patch.arena, "b", Value(5));
  EXPECT_EQ(text(apply_merge_patch(doc("{a: 1, b: {x: 2}, d: 3}").root, patch.root)),
            canonical("{b: 5, d: 3}"));
}

// A patch of 100,000 members costs some steps a member, whatever it does: replace, add, delete; and
// so does telling whether it changed anything.
TEST(MergePatch, CostsAsMuchAsThereIs) {
  constexpr int kMembers = 100'000;
  auto object = [](int from, bool value) {
    Document d;
    d.root = Value::map();
    for (int i = from; i < from + kMembers; ++i) {
      std::string key = "key-" + std::to_string(i * 7919 % 1'000'003);
      d.root.append_member(d.arena, d.arena.copy(key), value ? Value(i) : Value());
    }
    return d;
  };
  const Document there = object(0, true);
  struct Case {
    Document patch;
    size_t left;
  };
  Case cases[] = {{object(0, true), kMembers},
                  {object(kMembers, true), 2 * kMembers},
                  {object(kMembers / 2, false), kMembers / 2}};
  for (const Case& c : cases) {
    const uint64_t before = large_map_steps();
    auto patched = apply_merge_patch(there.root, c.patch.root);
    ASSERT_TRUE(patched.ok());
    auto same = apply_strategic_patch(nullptr, there.root, c.patch.root);
    ASSERT_TRUE(same.ok());
    EXPECT_TRUE(same->root.equals(patched->root));
    EXPECT_EQ(patched->root.size(), c.left);
    EXPECT_EQ(patched->root.equals(there.root), c.left == kMembers);
    // Found as they are, in another order, and when members have moved.
    Document turned;
    turned.root = Value::map();
    for (size_t i = patched->root.size(); i-- > 0;) {
      const Member& m = patched->root.members()[i];
      turned.root.append_member(turned.arena, m.key(), m.value);
    }
    EXPECT_TRUE(turned.root.equals(patched->root));
    EXPECT_LT(large_map_steps() - before, uint64_t{40} * kMembers);
  }
}

TEST(Value, FindsInLargeMapsAsInSmallOnes) {
  Document d;
  d.root = Value::map();
  auto key = [](int i) { return "k" + std::to_string(i); };
  auto expect = [&](int i, bool there) {
    const Value* v = d.root.find(key(i));
    ASSERT_EQ(v != nullptr, there) << i;
    if (v) {
      EXPECT_EQ(v->as_int(), i);
    }
  };
  auto set = [&](int i) { d.root.set(d.arena, d.arena.copy(key(i)), Value(i)); };
  for (int i = 0; i < 300; ++i) set(i);
  for (int i = 0; i < 310; ++i) expect(i, i < 300);
  for (int i = 0; i < 300; i += 3) EXPECT_TRUE(d.root.erase(key(i)));
  for (int i = 0; i < 300; ++i) expect(i, i % 3 != 0);
  set(0);
  for (int i = 0; i < 300; ++i) expect(i, i % 3 != 0 || i == 0);
  d.root.truncate(70);
  set(500);
  expect(500, true);
  expect(299, false);
  d.root.clear();
  expect(500, false);
  for (int i = 299; i >= 0; --i) set(i);
  for (int i = 0; i < 300; ++i) expect(i, true);
  // The first of equal keys counts, before and after it grows.
  d.root.append_member(d.arena, "k7", Value(0));
  for (int i = 1000; i < 2000; ++i) set(i);
  expect(7, true);
  d.root.erase_at(d.root.size() - 1);
  expect(1999, false);
  expect(1998, true);
}

TEST(StrategicPatch, MergesListsByKey) {
  const char* o =
      "spec:\n  containers:\n  - {name: a, image: a:1, env: [{name: X, value: '1'}]}\n"
      "  - {name: b, image: b:1}\n  tolerations: [{key: k}]\n";
  EXPECT_EQ(strategic(pod(), o, "{spec: {containers: [{name: b, image: 'b:2'}]}}"),
            canonical("spec:\n  containers:\n  - {name: a, image: a:1, env: [{name: X, value: "
                      "'1'}]}\n  - {name: b, image: b:2}\n  tolerations: [{key: k}]\n"));
  EXPECT_EQ(strategic(pod(), o, "{spec: {containers: [{name: a, $patch: delete}]}}"),
            canonical("spec:\n  containers:\n  - {name: b, image: b:1}\n  tolerations: [{key: "
                      "k}]\n"));
  EXPECT_EQ(
      strategic(pod(), o, "{spec: {containers: [{name: c, image: c}, {$patch: replace}]}}"),
      canonical("spec:\n  containers:\n  - {name: c, image: c}\n  tolerations: [{key: k}]\n"));
  EXPECT_EQ(strategic(pod(), o, "{spec: {tolerations: [{key: z}]}}").find("key: k"),
            std::string::npos);  // tolerations are atomic
  EXPECT_EQ(strategic(pod(), o, "{spec: {containers: [{image: x}]}}"),
            "map: map[image:x] does not contain declared merge key: name\n");
}

TEST(StrategicPatch, Directives) {
  EXPECT_EQ(strategic(pod(), "{metadata: {labels: {a: b}}}",
                      "{metadata: {labels: {$patch: replace, c: d}}}"),
            canonical("{metadata: {labels: {c: d}}}"));
  EXPECT_EQ(strategic(pod(), "{metadata: {labels: {a: b}}}", "{metadata: {labels: {a: null}}}"),
            canonical("{metadata: {labels: {}}}"));
  EXPECT_EQ(strategic(pod(), "{metadata: {finalizers: [a, b]}}",
                      "{metadata: {$deleteFromPrimitiveList/finalizers: [a], finalizers: [c]}}"),
            canonical("{metadata: {finalizers: [c, b]}}"));
  EXPECT_EQ(strategic(pod(), "{spec: {containers: [{name: a}, {name: b}]}}",
                      "{spec: {$setElementOrder/containers: [{name: c}, {name: b}, {name: a}], "
                      "containers: [{name: c, image: i}]}}"),
            canonical("{spec: {containers: [{name: c, image: i}, {name: b}, {name: a}]}}"));
  EXPECT_EQ(strategic(deployment(), "{spec: {strategy: {type: RollingUpdate, rollingUpdate: {}}}}",
                      "{spec: {strategy: {$retainKeys: [type], type: Recreate}}}"),
            canonical("{spec: {strategy: {type: Recreate}}}"));
  EXPECT_EQ(strategic(pod(), "{spec: {nodeSelector: {a: b}}}", "{spec: {$patch: jump}}"),
            "unknown patch type: jump in map: map[$patch:jump]\n");
}

TEST(StrategicPatch, BadDirectives) {
  const char* o = "{spec: {containers: [{name: a}], strategy: {type: x}}}";
  const std::pair<const char*, const char*> kRows[] = {
      {"{spec: {$patch: merge, nodeName: x1}}",
       "unknown patch type: merge in map: map[$patch:merge nodeName:x1]"},
      {"{spec: {containers: [{$patch: merge, name: a}]}}",
       "merging lists cannot yet be specified in the patch"},
      {"{spec: {containers: [{$patch: jump, name: a}]}}",
       "unknown patch type: jump in map: map[$patch:jump name:a]"},
      {"{spec: {containers: [{$patch: delete}]}}",
       "map: map[$patch:delete] does not contain declared merge key: name"},
      {"{spec: {$setElementOrder/containers: a}}",
       "expected a []interface {}, but received a string"},
      {"{spec: {$setElementOrder/containers: [], containers: {a: b}}}",
       "expected a []interface {}, but received a map[string]interface {}"},
  };
  for (auto [patch, why] : kRows) {
    auto done = apply_strategic_patch(pod(), doc(o).root, doc(patch).root);
    EXPECT_EQ(done.status().message(), why);
    EXPECT_EQ(done.status().code(), 500) << why;  // as upstream, which does not class them
  }
  for (const char* patch : {"{spec: {$retainKeys: type}}", "{spec: {$retainKeys: [a], b: c}}"}) {
    auto done = apply_strategic_patch(pod(), doc(o).root, doc(patch).root);
    EXPECT_EQ(done.status().message(), "invalid patch format of retainKeys");
    EXPECT_EQ(done.status().code(), 400);
  }
  EXPECT_FALSE(apply_strategic_patch(pod(), doc(o).root, doc("[]").root).ok());
}

// A directive for what is not there leaves nothing behind.
TEST(StrategicPatch, DirectivesForWhatIsAbsent) {
  EXPECT_EQ(
      strategic(pod(), "{metadata: {name: a}}", "{metadata: {labels: {$patch: replace, c: d}}}"),
      canonical("{metadata: {name: a}}"));
  EXPECT_EQ(strategic(pod(), "{metadata: {name: a}}", "{spec: {nodeSelector: {$patch: delete}}}"),
            canonical("{metadata: {name: a}, spec: {}}"));
  EXPECT_EQ(strategic(pod(), "{metadata: {name: a}}",
                      "{spec: {containers: [{name: x, $patch: delete}, {name: b}]}}"),
            canonical("{metadata: {name: a}, spec: {containers: [{name: b}]}}"));
  EXPECT_EQ(strategic(pod(), "{metadata: {name: a}}",
                      "{metadata: {$deleteFromPrimitiveList/finalizers: [x]}}"),
            canonical("{metadata: {name: a}}"));
}

TEST(StrategicPatch, AListIsInTheOrderThatItNames) {
  const char* live = "{spec: {containers: [{name: a}, {name: b}]}}";
  auto patched = [&](const char* order, const char* list) {
    return strategic(pod(), live,
                     ("{spec: {$setElementOrder/containers: " + std::string(order) +
                      ", containers: " + list + "}}")
                         .c_str());
  };
  const char* refused =
      "The order in patch list:\n[map[image:i name:c]]\n doesn't match $setElementOrder list:\n"
      "[map[name:b] map[name:a]]\n\n";
  EXPECT_EQ(patched("[{name: b}, {name: a}]", "[{name: c, image: i}]"), refused);
  EXPECT_NE(patched("[{name: b}, {name: a}]", "[{name: a}, {name: b}]").find("The order in patch"),
            std::string::npos);
  EXPECT_EQ(patched("[{name: b}, {name: a}]", "[{name: a, image: i}]"),
            canonical("{spec: {containers: [{name: b}, {name: a, image: i}]}}"));
  EXPECT_EQ(patched("[{name: a}]", "[{name: b, $patch: delete}]"),
            canonical("{spec: {containers: [{name: a}]}}"));
  EXPECT_EQ(strategic(pod(), "{metadata: {finalizers: [a]}}",
                      "{metadata: {$setElementOrder/finalizers: [a], finalizers: [b]}}"),
            "The order in patch list:\n[b]\n doesn't match $setElementOrder list:\n[a]\n\n");
}

std::string three_way(const TypeDesc* t, const char* original, const char* modified,
                      const char* current) {
  Document o = doc(original), m = doc(modified), c = doc(current);
  auto patch = create_three_way_strategic_patch(t, o.root, m.root, c.root);
  if (!patch.ok()) return patch.status().message();
  return text(apply_strategic_patch(t, c.root, patch->root));
}

TEST(StrategicPatch, ThreeWay) {
  const char* applied =
      "metadata: {labels: {a: '1', b: '2'}}\nspec:\n  containers:\n  - {name: x, image: i:1, env: "
      "[{name: A, value: '1'}, {name: B, value: '2'}]}\n  - {name: y, image: j}\n";
  const char* wanted =
      "metadata: {labels: {a: '9'}}\nspec:\n  containers:\n  - {name: x, image: i:2, env: [{name: "
      "B, value: '2'}]}\n";
  const char* live =
      "metadata: {labels: {a: '1', b: '2', live: z}}\nspec:\n  nodeName: n\n  containers:\n  - "
      "{name: x, image: i:1, env: [{name: A, value: '1'}, {name: B, value: '2'}], pull: p}\n  - "
      "{name: y, image: j}\n  - {name: sidecar, image: s}\n";
  EXPECT_EQ(three_way(pod(), applied, wanted, live),
            canonical("metadata: {labels: {a: '9', live: z}}\nspec:\n  nodeName: n\n  "
                      "containers:\n  - {name: x, image: i:2, env: [{name: B, value: '2'}], "
                      "pull: p}\n  - {name: sidecar, image: s}\n"));
  Document none = doc("{}");
  auto patch =
      create_three_way_strategic_patch(pod(), doc(wanted).root, doc(wanted).root, doc(wanted).root);
  ASSERT_TRUE(patch.ok());
  EXPECT_EQ(write_yaml(patch->root), write_yaml(none.root));
}

TEST(StrategicPatch, ThreeWayRetainsKeys) {
  const TypeDesc* d = deployment();
  EXPECT_EQ(three_way(d, "{spec: {strategy: {type: RollingUpdate}}}",
                      "{spec: {strategy: {type: Recreate}}}",
                      "{spec: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}}}"),
            canonical("{spec: {strategy: {type: Recreate}}}"));
}

TEST(MergePatch, ThreeWay) {
  Document p = create_three_way_merge_patch(doc("{a: 1, b: 2}").root, doc("{b: 3}").root,
                                            doc("{a: 1, b: 2, c: 4}").root);
  EXPECT_EQ(write_yaml(p.root), canonical("{a: null, b: 3}"));
}

}  // namespace
}  // namespace keles
