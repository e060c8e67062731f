#include "server/registry/machine.h"

#include "machinery/codec_protobuf.h"
#include "machinery/decode.h"
#include "server/registry/meta.h"

namespace keles::registry {

Bytes encode_stored(const KindDesc& kind, Document& doc) {
  edit_metadata(doc).erase("resourceVersion");
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
