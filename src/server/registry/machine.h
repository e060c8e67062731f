// What the registry asks of the codecs, in one place.
#pragma once

#include <string>

#include "base/loop.h"
#include "machinery/object.h"
#include "machinery/patch.h"
#include "machinery/schema.h"
#include "machinery/value.h"
#include "server/registry/registry.h"

namespace keles::registry {

// The store's bytes of a whole tree of a kind that is stored: the protobuf envelope, or a custom
// resource's JSON; metadata.resourceVersion is left out.
Bytes encode_stored(const KindDesc& kind, Document& doc);
// Constant defaults of the description, then the strategy's own.
void set_defaults(const KindDesc& kind, Document& doc, Loop& loop);
// A patched tree against the description: wrong types are errors, unknown fields errors or
// warnings, as the request asked.
Status check_tree(const KindDesc& kind, Document& doc, const WriteRequest& how);
// As check_tree for what `patch` made of `original`; Invalid, in upstream's words, when it no
// longer fits its kind.
Status check_patched(const KindDesc& kind, PatchType type, const Value& original,
                     const Value& patch, Document& patched, const WriteRequest& how);

}  // namespace keles::registry
