// Three YAML documents: an object, what is wanted, a patch. Every patch ends in an object or an
// error, a patch made from two objects turns the one into the other, and what a patch does not name
// stays normal.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/decode_patched.h"
#include "machinery/patch.h"
#include "seeds.h"

namespace {

bool has_null(const keles::Value& v) {
  if (v.is_null()) return true;
  for (const auto& i : v.items()) {
    if (has_null(i)) return true;
  }
  for (const auto& m : v.members()) {
    if (has_null(m.value)) return true;
  }
  return false;
}

// What a patch does not name need not be made normal again.
void check_part(const keles::TypeDesc& type, keles::Document whole, const keles::Value& patch) {
  keles::Document part = whole.clone();
  std::vector<std::string> unknown, unknown_in_part;
  const keles::Status s = keles::normalize(type, whole, &unknown);
  const keles::Status t = keles::normalize_patched(type, part, patch, &unknown_in_part);
  if (s.message() != t.message()) std::abort();
  if (s.ok() && (unknown != unknown_in_part || !whole.root.equals(part.root))) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  auto all = parse_yaml_all({reinterpret_cast<const char*>(data), size});
  if (!all.ok() || all->size() < 2) return 0;
  const Value &a = (*all)[0].root, &b = (*all)[1].root, &p = all->back().root;
  static const TypeDesc* pod = find_kind("v1", "Pod")->type;
  for (PatchType t : {PatchType::kJson, PatchType::kMerge, PatchType::kStrategicMerge}) {
    (void)apply_patch(t, *pod, a, p);
  }
  if (Document object; a.is_map()) {
    object.root = deep_copy(object.arena, a);
    if (normalize(*pod, object).ok()) {
      for (PatchType t : {PatchType::kMerge, PatchType::kStrategicMerge}) {
        auto made = apply_patch(t, *pod, object.root, p);
        if (made.ok()) check_part(*pod, std::move(*made), p);
      }
    }
  }
  (void)create_three_way_strategic_patch(pod, a, b, p);
  if (a.is_map() && b.is_map() && !has_null(a) && !has_null(b)) {
    Document patch = create_merge_patch(a, b);
    auto r = apply_merge_patch(a, patch.root);
    if (!r.ok() || !r->root.equals(b)) std::abort();
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "{a: {b: [1, 2]}}\n---\n[{op: add, path: /a/b/1, value: 9}]\n",
      "{a: 1, c: {d: e}}\n---\n{b: 2}\n---\n{a: null, c: {d: f}}\n",
      "{spec: {containers: [{name: a, image: b}]}}\n---\n{spec: {containers: [{name: a}, "
      "{name: c}]}}\n---\n{spec: {$setElementOrder/containers: [{name: c}], containers: "
      "[{name: c, $patch: delete}]}}\n",
      "{metadata: {finalizers: [a, b], labels: {x: y}}, spec: {nodeName: n, securityContext: "
      "{runAsUser: 0}}}\n---\n{metadata: {$deleteFromPrimitiveList/finalizers: [a], $retainKeys: "
      "[finalizers]}, spec: {$patch: replace, securityContext: {$patch: delete}}}\n",
      "{a: [1]}\n---\n{a: [2]}\n---\n[{op: move, from: /a/0, path: /b}, {op: copy, from: /b, "
      "path: /a/-}, {op: test, path: /b, value: 1}]\n"};
}
