#include "server/webhooks/patching.h"

#include <string>
#include <utility>

#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "machinery/equality.h"
#include "machinery/kind_facts.h"
#include "machinery/patch.h"
#include "server/matching/decoding_error.h"
#include "server/registry/machine.h"

namespace keles::webhooks {
Result<Patched> apply_answer(const KindDesc& kind, std::string_view text, const Value& before,
                             std::string_view patch, Loop& loop) {
  auto operations = parse_json(patch);
  if (!operations.ok()) return Status::bad_request(operations.status().message());
  if (!operations->root.is_list()) {
    return Status::bad_request("json: cannot unmarshal into Go value of type jsonpatch.Patch");
  }
  Patched out;
  if (operations->root.empty()) return out;
  auto sent = parse_json(text);
  if (!sent.ok()) return Status::internal(sent.status().message());
  auto patched = apply_json_patch(sent->root, operations->root);
  if (!patched.ok()) return Status::internal(patched.status().message());
  hold_kind(patched->arena, kind);
  Status s = check_body_kind(kind, "", *patched);
  if (s.ok()) s = decode_object(kind, *patched, FieldValidation::kIgnore);
  if (!s.ok()) return Status::internal(matching::decoding_error(s));
  // What does not say what it is is what was sent.
  patched->root.set(patched->arena, "apiVersion", Value::string(kind.api_version()));
  patched->root.set(patched->arena, "kind", Value::string(kind.kind));
  out.applied = true;
  if (kind.facts->keeps_empty) {
    out.changed = !patched->root.equals(before);
  } else {
    drop_empty(*kind.type, patched->root);
    out.changed = !same_meaning(*kind.type, patched->root, before);
  }
  registry::set_defaults(kind, *patched, loop);
  out.object = std::move(*patched);
  return out;
}

}  // namespace keles::webhooks
