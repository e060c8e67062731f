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
// What `patch` made of `original` against the description: wrong types are errors, unknown fields
// errors or warnings, as the request asked. Invalid, in upstream's words, when it no longer fits
// its kind.
Status check_patched(const KindDesc& kind, PatchType type, const Value& original,
                     const Value& patch, Document& patched, const WriteRequest& how);

// BadRequest for a body that names another object than the one it is sent to, or none.
Status check_name(std::string_view sent, std::string_view name);

// Why a write was refused whose uid is not the stored object's ("": there is none): upstream shows
// its store's own error.
std::string unmet_uid(std::string_view key, std::string_view wanted, std::string_view uid);
std::string unmet_version(std::string_view key, std::string_view wanted, std::string_view version);

}  // namespace keles::registry
