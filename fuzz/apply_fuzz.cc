// YAML documents: an object, and writes to it. Whatever is applied ends in an object or an error,
// managers stay what can be read, applying the same again changes nothing, and what the words do
// not name need not be made normal again.
#include <cstdint>
#include <cstdlib>

#include "machinery/apply/updater.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/decode_patched.h"
#include "seeds.h"

namespace {

using namespace keles;

class OneVersion : public apply::Versions {
 public:
  const TypeDesc* type_of(std::string_view v) const override {
    return v == "v1" ? static_cast<const TypeDesc*>(find_kind("v1", "Pod")->type) : nullptr;
  }
  Document convert(const Value& tree, std::string_view, std::string_view) const override {
    Document d;
    d.root = deep_copy(d.arena, tree);
    return d;
  }
};

// As all that is stored and applied has.
void name(Document& d) {
  Value& metadata = d.root.get_or_add(d.arena, "metadata");
  if (metadata.is_null()) metadata = Value::map();
  if (metadata.is_map()) metadata.set(d.arena, "name", Value::string("n"));
}

void check_managers(const Value& root) {
  Arena arena;
  if (!apply::Managers::decode(arena, root["metadata"]["managedFields"]).ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto all = parse_yaml_all({reinterpret_cast<const char*>(data), size});
  if (!all.ok() || all->empty()) return 0;
  static const KindDesc* pod = find_kind("v1", "Pod");
  static const OneVersion versions;
  apply::Write w;
  w.kind = pod;
  w.versions = &versions;
  w.now = "2026-01-01T00:00:00Z";
  Document live = std::move((*all)[0]);
  if (!live.root.is_map()) return 0;
  name(live);
  if (!normalize(*pod->type, live).ok()) return 0;
  w.manager = "first";
  apply::track_update(w, nullptr, live);
  check_managers(live.root);
  for (size_t i = 1; i < all->size() && i < 6; ++i) {
    Document& words = (*all)[i];
    if (!words.root.is_map()) continue;
    w.manager = i % 2 == 0 ? "kubectl" : "other";
    w.force = i % 3 == 0;
    words.root.set(words.arena, "kind", Value::string("Pod"));
    words.root.set(words.arena, "apiVersion", Value::string("v1"));
    name(words);
    auto done = apply::apply_config(w, &live.root, words.root);
    if (!done.ok()) {
      Document next = std::move(words);  // as an update, then
      if (!normalize(*pod->type, next).ok()) continue;
      apply::track_update(w, &live.root, next);
      check_managers(next.root);
      live = std::move(next);
      continue;
    }
    Document part = done->object.clone();
    const Status s = normalize(*pod->type, done->object);
    if (normalize_patched(*pod->type, part, words.root).ok() != s.ok()) std::abort();
    if (!s.ok()) continue;
    if (!part.root.equals(done->object.root)) std::abort();
    check_managers(done->object.root);
    live = std::move(done->object);
    auto again = apply::apply_config(w, &live.root, words.root);
    if (!again.ok()) std::abort();
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "{spec: {containers: [{name: a, image: b}]}}\n---\n{spec: {containers: [{name: a, image: "
      "c}, {name: d}]}}\n---\n{metadata: {labels: {a: b}}}\n---\n{spec: {containers: [{name: "
      "d}]}}\n",
      "{metadata: {finalizers: [a, b, a]}}\n---\n{metadata: {finalizers: [b, c]}}\n---\n{}\n",
      "{metadata: {managedFields: [{manager: x, operation: Apply, apiVersion: v1, fieldsType: "
      "FieldsV1, fieldsV1: {'f:spec': {'f:containers': {'k:{\"name\":\"a\"}': {.: {}}}}}}]}}\n---\n"
      "{spec: {nodeSelector: {a: b}, tolerations: [{key: a}]}}\n",
      "{spec: {containers: [{name: a, ports: [{containerPort: 80}, {containerPort: 80, protocol: "
      "UDP}]}]}}\n---\n{spec: {containers: [{name: a, ports: [{containerPort: "
      "80}]}]}}\n---\n{spec: "
      "{containers: null}}\n",
  };
}
