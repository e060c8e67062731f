// Patches: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386), and Kubernetes' strategic merge
// patch, which merges lists by the keys that the type's description names. Pure functions, any
// thread. The inputs are never changed; a result owns everything it holds.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

enum class PatchType : uint8_t { kJson, kMerge, kStrategicMerge, kApply };

// The patch type of a media type ("application/merge-patch+json"); kUnsupportedMediaType otherwise.
Result<PatchType> patch_type_of(std::string_view media_type);
// Invalid for a patch after which the object would no longer be one of its kind. The message quotes
// the patch (strategic) or the patched object (the other types).
Status refused_patch(PatchType type, const Value& patch, const Value& patched,
                     std::string_view why);

std::string_view patch_media_type(PatchType t);

// Applies any patch but kApply. Errors are what the API answers: BadRequest for a malformed patch,
// Invalid for one that does not fit the object.
Result<Document> apply_patch(PatchType patch_type, const TypeDesc& type, const Value& original,
                             const Value& patch);

// RFC 6902. At most 10,000 operations; copies may not grow the document beyond 3 MiB of text.
// Errors carry the operation's text: `testing value /spec/replicas failed: test failed`.
Result<Document> apply_json_patch(const Value& original, const Value& patch);
// RFC 7386.
Result<Document> apply_merge_patch(const Value& original, const Value& patch);
// `type` describes the object; null: everything unknown is replaced as a whole.
Result<Document> apply_strategic_patch(const TypeDesc* type, const Value& original,
                                       const Value& patch);

// What `kubectl apply` sends: deletions from `original` (the last applied) to `modified` (what is
// wanted), additions and changes from `current` (what the server has) to `modified`.
Result<Document> create_three_way_strategic_patch(const TypeDesc* type, const Value& original,
                                                  const Value& modified, const Value& current);
// The same as a JSON merge patch, for custom resources.
Document create_three_way_merge_patch(const Value& original, const Value& modified,
                                      const Value& current);
// The patch that turns `original` into `modified`.
Result<Document> create_two_way_strategic_patch(const TypeDesc* type, const Value& original,
                                                const Value& modified);
Document create_merge_patch(const Value& original, const Value& modified);

}  // namespace keles
