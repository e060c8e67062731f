#include "machinery/decode_patched.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "machinery/apply/updater.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "machinery/filled_object.h"
#include "machinery/patch.h"

namespace keles {
namespace {

// Every other member of `v` from the `from`th on, in forms that are not normal: with what no type
// knows, zeros, nulls and times of another form.
Value some_of(Arena& a, const Value& v, size_t from, int depth) {
  Value out = Value::map();
  const auto members = v.members();
  for (size_t i = from; i < members.size(); i += 2) {
    const Member& m = members[i];
    Value& into = out.set(a, m.key(), deep_copy(a, m.value));
    if (m.key().ends_with("imestamp") && m.value.is_string()) {
      into = Value::string("2001-02-03T04:05:06.700+01:00");
    } else if (m.value.is_map() && depth > 0) {
      into = some_of(a, m.value, (i + from) % 2, depth - 1);
    } else if (m.value.is_int() && i % 3 == 0) {
      into = Value(0);
    } else if (m.value.is_string() && i % 5 == 0) {
      into = Value::string("");
    }
  }
  out.set(a, "nobodyKnows", Value(1));
  return out;
}

// What is made normal where a patch was laid is what is made normal everywhere.
TEST(DecodePatched, IsWhatNormalizingAllGives) {
  size_t done = 0;
  for (const KindDesc* kind : all_kinds()) {
    Document original;
    original.root = filled(original.arena, *kind->type);
    if (!normalize(*kind->type, original).ok()) continue;
    for (size_t from : {0u, 1u}) {
      Document patch;
      patch.root = some_of(patch.arena, original.root, from, 3);
      auto patched = apply_merge_patch(original.root, patch.root);
      ASSERT_TRUE(patched.ok()) << kind->kind;
      Document whole = patched->clone(), in_part = std::move(*patched);
      std::vector<std::string> unknown, unknown_in_part;
      Status s = normalize(*kind->type, whole, &unknown);
      Status part = normalize_patched(*kind->type, in_part, patch.root, &unknown_in_part);
      ASSERT_EQ(s.ok(), part.ok()) << kind->kind << s.message() << part.message();
      EXPECT_EQ(s.message(), part.message()) << kind->kind;
      EXPECT_EQ(unknown, unknown_in_part) << kind->kind;
      if (s.ok()) {
        EXPECT_EQ(to_json(whole.root), to_json(in_part.root)) << kind->kind;
        ++done;
      }
    }
  }
  EXPECT_GT(done, 40u);
}

// The same of an object over which `laid` was laid; says whether it could be made normal.
bool same_in_part(const KindDesc& kind, const Document& made, const Value& laid,
                  const std::string& how) {
  Document whole = made.clone(), in_part = made.clone();
  std::vector<std::string> unknown, unknown_in_part;
  Status s = normalize(*kind.type, whole, &unknown);
  Status part = normalize_patched(*kind.type, in_part, laid, &unknown_in_part);
  EXPECT_EQ(s.message(), part.message()) << kind.kind << " " << how;
  EXPECT_EQ(unknown, unknown_in_part) << kind.kind << " " << how;
  if (s.ok() && part.ok()) {
    EXPECT_EQ(to_json(whole.root), to_json(in_part.root)) << kind.kind << " " << how;
  }
  return s.ok();
}

// Strategic directives, which name other members than they change, into the maps of `patch` that
// `original` has too.
void direct(Arena& a, Value& patch, const Value& original, size_t which, int depth) {
  for (Member& m : patch.members()) {
    if (depth > 0 && m.value.is_map() && original[m.key()].is_map())
      direct(a, m.value, original[m.key()], which + 1, depth - 1);
  }
  Value kept = Value::list();
  for (const Member& m : original.members()) {
    if (m.value.is_list() && !m.value.empty() && m.value.items()[0].is_string()) {
      Value all = Value::list();
      all.append(a, deep_copy(a, m.value.items()[0]));
      const char* directive = which % 2 == 0 ? "$deleteFromPrimitiveList/" : "$setElementOrder/";
      if (!patch.find(m.key())) patch.set(a, a.copy(directive + std::string(m.key())), all);
    }
    if (patch.find(m.key())) kept.append(a, Value::string(m.key()));
  }
  if (depth == 3) return;  // the whole object is not replaced
  if (which % 4 == 1) patch.set(a, "$retainKeys", kept);
  if (which % 4 == 2) patch.set(a, "$patch", Value::string("replace"));
  if (which % 4 == 3) patch.set(a, "$patch", Value::string("delete"));
}

TEST(DecodePatched, IsTheSameForStrategicPatches) {
  size_t done = 0;
  for (const KindDesc* kind : all_kinds()) {
    Document original;
    original.root = filled(original.arena, *kind->type);
    if (!normalize(*kind->type, original).ok()) continue;
    for (size_t round = 0; round < 8; ++round) {
      Document patch;
      patch.root = some_of(patch.arena, original.root, round % 2, 3);
      if (round > 1) direct(patch.arena, patch.root, original.root, round / 2, 3);
      auto patched = apply_strategic_patch(kind->type, original.root, patch.root);
      if (!patched.ok()) continue;
      done += same_in_part(*kind, *patched, patch.root, to_json(patch.root));
    }
  }
  EXPECT_GT(done, 300u);
}

// Each kind in the one version of it.
class OneVersion final : public apply::Versions {
 public:
  explicit OneVersion(const KindDesc& kind) : kind_(kind) {}
  const TypeDesc* type_of(std::string_view version) const override {
    return version == kind_.api_version() ? kind_.type : nullptr;
  }
  Document convert(const Value& tree, std::string_view, std::string_view) const override {
    Document d;
    d.root = deep_copy(d.arena, tree);
    return d;
  }

 private:
  const KindDesc& kind_;
};

// Members of `v` that an apply may name: every other one, of its maps too.
Value words_of(Arena& a, const Value& v, size_t from, int depth) {
  Value out = Value::map();
  const auto members = v.members();
  for (size_t i = from; i < members.size(); i += 2) {
    const Member& m = members[i];
    if (m.key() == "managedFields") continue;
    const bool inside = m.value.is_map() && depth > 0;
    out.set(a, m.key(),
            inside ? words_of(a, m.value, (i + from) % 2, depth - 1) : deep_copy(a, m.value));
  }
  return out;
}

// What they take away they do not name: with the last of a message goes the message.
TEST(DecodePatched, IsTheSameForApplies) {
  size_t done = 0, shrunk = 0;
  for (const KindDesc* kind : all_kinds()) {
    const OneVersion versions(*kind);
    apply::Write w;
    w.kind = kind;
    w.versions = &versions;
    w.now = "2026-01-01T00:00:00Z";
    w.manager = "x";
    w.force = true;
    for (size_t round = 0; round < 6; ++round) {
      Document live, first, second;
      live.root = filled(live.arena, *kind->type);
      if (!normalize(*kind->type, live).ok()) break;
      for (auto [doc, from] : {std::pair{&first, round % 2}, std::pair{&second, round / 2}}) {
        doc->root = from < 2 ? words_of(doc->arena, live.root, from, 4) : Value::map();
        doc->root.set(doc->arena, "apiVersion", Value::string(kind->api_version()));
        doc->root.set(doc->arena, "kind", Value::string(kind->kind));
        Value& metadata = doc->root.get_or_add(doc->arena, "metadata");
        if (!metadata.is_map()) metadata = Value::map();
        metadata.set(doc->arena, "name", Value::string("n"));
      }
      auto made = apply::apply_config(w, nullptr, first.root);
      if (!made.ok() || !normalize(*kind->type, made->object).ok()) continue;
      auto again = apply::apply_config(w, &made->object.root, second.root);
      if (!again.ok()) continue;
      shrunk += to_json(again->object.root).size() < to_json(made->object.root).size();
      done += same_in_part(*kind, again->object, second.root, std::to_string(round));
    }
  }
  EXPECT_GT(done, 300u);
  EXPECT_GT(shrunk, 100u) << "else nothing was taken away";
}

// What the patch does not name is not looked at.
TEST(DecodePatched, LeavesTheRest) {
  const KindDesc* kind = find_kind("", "v1", "ConfigMap");

  auto doc = parse_json(R"({"metadata":{"name":"x","unknown":1},"data":{"a":"1"},"other":2})");
  auto laid = parse_json(R"({"data":{"a":"1"},"other":2})");
  ASSERT_TRUE(doc.ok() && laid.ok());
  std::vector<std::string> unknown;
  ASSERT_TRUE(decode_patched(*kind, *doc, laid->root, &unknown).ok());
  EXPECT_EQ(to_json(doc->root), R"({"metadata":{"name":"x","unknown":1},"data":{"a":"1"}})");
  EXPECT_EQ(unknown, std::vector<std::string>{R"(unknown field "other")"});
  laid->root.set(laid->arena, "data", Value::map());
  doc->root.set(doc->arena, "data", Value::list());
  Status s = decode_patched(*kind, *doc, laid->root, nullptr);
  EXPECT_NE(s.message().find("cannot be handled as a ConfigMap"), std::string::npos) << s.message();
}

}  // namespace
}  // namespace keles
