// OpenAPI v2 and v3 of everything that is served, from descriptors: definitions with merge rules,
// paths with their operations and parameters. `kubectl explain`, `apply` and the check for
// fieldValidation and dryRun read them. (KEP-2896; gnostic's protobuf forms.)
//
//   /openapi/v2                         JSON, or protobuf when the client accepts only that
//   /openapi/v3                         the index: path -> URL with a hash
//   /openapi/v3/apis/apps/v1?hash=...   one group/version; JSON, or protobuf
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/object.h"
#include "machinery/schema.h"

namespace keles::server {

struct OpenApiBody {
  Bytes bytes;
  std::string content_type;
  std::string etag;  // with its quotes
  // The URL names the content's hash: it may be cached for as long as the client likes.
  bool immutable = false;
  std::string location = {};  // where the document of today is, when its hash is another
  bool acceptable = true;     // else the client takes no form that there is
  static OpenApiBody not_acceptable() {
    OpenApiBody out;
    out.acceptable = false;
    return out;
  }
};

// Immutable, any thread. Documents are made when they are asked for. Made anew when the set of
// custom resources changes.
class OpenApi {
 public:
  // `kinds` are the served kinds; they outlive this. `version` is the gitVersion ("v1.36.2+keles").
  // `before`: of the kinds that were served before; its documents of what is the same are kept.
  OpenApi(std::span<const KindDesc* const> kinds, std::string version,
          const OpenApi* before = nullptr);
  ~OpenApi();

  // The answer to GET `path` (without query) with this `hash` parameter ("" when there is none).
  std::optional<OpenApiBody> get(std::string_view path, std::string_view hash,
                                 std::string_view accept) const;

 private:
  struct Part;  // one document and its hash
  const Part* find(std::string_view path) const;
  Bytes v2_json() const;

  std::vector<const KindDesc*> kinds_;
  std::string version_;
  std::vector<std::shared_ptr<Part>> parts_;  // of v3, by path ("apis/apps/v1")
};

// The documents as trees.
Document openapi_v2(std::span<const KindDesc* const> kinds, std::string_view version);
// One group/version's v3 document. Several kinds of one group and version.
Document openapi_v3(std::span<const KindDesc* const> kinds, std::string_view version);
// A v2 document as gnostic's openapi.v2.Document, a v3 one as its openapi.v3.Document.
std::string gnostic_v2(const Value& document);
std::string gnostic_v3(const Value& document);

}  // namespace keles::server
