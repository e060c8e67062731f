#include "server/registry/machine.h"

#include "machinery/codec_protobuf.h"
#include "machinery/decode.h"
#include "server/registry/meta.h"

namespace keles::registry {

namespace {

// Empty lists and maps have no protobuf form: they go, so that the tree that is kept warm says
// what the stored bytes will say after a restart.
void drop_empty(const TypeDesc& type, Value& v) {
  if (type.form != Form::kObject || !v.is_map()) return;
  for (size_t i = v.members().size(); i-- > 0;) {
    Member& m = v.members()[i];
    const FieldDesc* f = type.find(m.key());
    if (!f) continue;
    if (f->cardinality != Cardinality::kSingle && m.value.empty()) {
      v.erase(m.key());
    } else if (f->type == FieldType::kMessage && f->message) {
      if (f->cardinality == Cardinality::kSingle) {
        drop_empty(*f->message, m.value);
      } else if (f->cardinality == Cardinality::kList) {
        for (Value& item : m.value.items()) drop_empty(*f->message, item);
      }
    }
  }
}

}  // namespace

Bytes encode_stored(const KindDesc& kind, Document& doc) {
  edit_metadata(doc).erase("resourceVersion");
  drop_empty(*kind.type, doc.root);
  return std::make_shared<const std::string>(encode_object(kind, doc.root));
}

void set_defaults(const KindDesc& kind, Document& doc, Loop& loop) {
  apply_defaults(kind, doc);
  const Strategy& strategy = strategy_of(kind);
  if (!strategy.set_defaults) return;
  HookContext hooks;
  hooks.kind = &kind;
  hooks.namespace_ = meta(doc.root, "namespace");
  hooks.now = loop.wall_now();
  hooks.random = &loop.random();
  strategy.set_defaults(hooks, doc);
}

Status check_tree(const KindDesc& kind, Document& doc, const WriteRequest& how) {
  return decode_object(kind, doc, how.validation, {}, how.warnings);
}

}  // namespace keles::registry
