#include "server/http/merged_paths.h"

#include <utility>

#include "api/meta_v1.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "server/discovery/content_name.h"
#include "server/discovery/openapi.h"

namespace keles::server {
namespace {

using aggregation::View;

constexpr std::string_view kAggregated = "as=APIGroupDiscoveryList";

std::string_view trimmed(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

// The group of "/apis/GROUP"; "" of any other path.
std::string_view group_of(std::string_view path) {
  constexpr std::string_view kApis = "/apis/";
  if (!path.starts_with(kApis)) return {};
  path.remove_prefix(kApis.size());
  return path.find('/') == path.npos ? path : std::string_view();
}

// A document in the form that this server's own answer has.
PathAnswer answer_like(const PathAnswer& own, const KindDesc* kind, const Document& doc,
                       const std::string& if_none_match) {
  PathAnswer out;
  out.content_type = own.content_type;
  out.may_indent = own.may_indent;
  std::string bytes;
  if (kind && own.content_type.starts_with("application/vnd.kubernetes.protobuf")) {
    bytes = encode_object(*kind, doc.root);
  } else if (own.content_type.starts_with("application/yaml")) {
    bytes = write_yaml(doc.root);
  } else if (own.content_type.find("proto-openapi") != std::string::npos) {
    bytes = gnostic_v2(doc.root);
  } else {
    bytes = to_json(doc.root) + "\n";
  }
  if (!own.etag.empty()) out.etag = etag_of(bytes);
  if (!out.etag.empty() && out.etag == if_none_match) {
    out.status = 304;
  } else {
    out.bytes = std::make_shared<const std::string>(std::move(bytes));
  }
  return out;
}

Document with_kind(Document doc, const KindDesc& kind) {
  Document out;
  out.root = Value::map();
  out.root.set(out.arena, "kind", Value::string(kind.kind));
  out.root.set(out.arena, "apiVersion", Value::string(kind.api_version()));
  for (const Member& m : doc.root.members()) {
    out.root.set(out.arena, out.arena.copy(m.key()), deep_copy(out.arena, m.value));
  }
  return out;
}

class MergedPaths {
 public:
  MergedPaths(const aggregation::Aggregator* aggregator, PathSource own)
      : aggregator_(aggregator), own_(std::move(own)) {}

  std::optional<PathAnswer> operator()(const PathQuestion& q) const {
    aggregation::ViewPtr view = aggregator_->view();
    const std::string_view path = trimmed(q.path);
    if (view->remotes.empty()) return own_(q);
    if (std::string_view group = group_of(path); !group.empty()) return group_page(q, group, *view);
    if (auto converted = schema_page(q, path, *view)) return converted;
    if (path != "/apis" && path != "/openapi/v2" && path != "/openapi/v3") return own_(q);
    PathQuestion plain = q;
    plain.if_none_match.clear();
    auto form = own_(plain);
    if (!form) return form;
    const bool aggregated = form->content_type.find(kAggregated) != std::string::npos;
    plain.accept = "application/json";
    if (aggregated) plain.accept += ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    auto own = own_(plain);
    auto tree =
        own && own->bytes ? parse_json(*own->bytes) : Result<Document>(Status::internal(""));
    if (!tree.ok()) return form;
    const KindDesc* kind = nullptr;
    Document merged;
    if (path == "/openapi/v2") {
      merged = merge_openapi_v2(tree->root, *view);
    } else if (path == "/openapi/v3") {
      merged = merge_openapi_v3_index(tree->root, *view);
    } else {
      merged =
          aggregated ? merge_discovery(tree->root, *view) : merge_group_list(tree->root, *view);
      kind = aggregated ? find_kind("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList")
                        : &kind_of<api::meta_v1::APIGroupList>();
    }
    return answer_like(*form, kind, merged, q.if_none_match);
  }

 private:
  // "/openapi/v3/apis/GROUP/VERSION" of a server that has v2 alone (one that has v3 is asked for
  // it).
  std::optional<PathAnswer> schema_page(const PathQuestion& q, std::string_view path,
                                        const View& view) const {
    constexpr std::string_view kV3 = "/openapi/v3";
    if (!path.starts_with(kV3)) return std::nullopt;
    auto gv = aggregation::group_version_of(path.substr(kV3.size()));
    const aggregation::Remote* remote = gv ? view.find(gv->first, gv->second) : nullptr;
    if (!remote) return std::nullopt;
    auto doc = converted_openapi_v3(*remote);
    if (!doc) return std::nullopt;
    PathAnswer like;
    like.content_type = "application/json";
    like.etag = "\"\"";
    PathAnswer out = answer_like(like, nullptr, *doc, q.if_none_match);
    out.immutable = !q.hash.empty() && q.hash == remote->documents->openapi_v2_name;
    return out;
  }

  std::optional<PathAnswer> group_page(const PathQuestion& q, std::string_view group,
                                       const View& view) const {
    auto merged = aggregation::merged_group(group, view);
    if (!merged) return own_(q);
    // A group may be served elsewhere alone: what the list of groups looks like, its page does.
    PathQuestion list = q;
    list.path = "/apis";
    list.if_none_match.clear();
    auto form = own_(list);
    if (!form) return form;
    if (form->content_type.find(kAggregated) != std::string::npos) {
      form->content_type.erase(form->content_type.find(';'));
      form->etag.clear();
    }
    const KindDesc& kind = kind_of<api::meta_v1::APIGroup>();
    return answer_like(*form, &kind, with_kind(std::move(*merged), kind), "");
  }

  const aggregation::Aggregator* aggregator_;
  PathSource own_;
};

}  // namespace

PathSource merged_paths(const aggregation::Aggregator* aggregator, PathSource own) {
  return MergedPaths(aggregator, std::move(own));
}

}  // namespace keles::server
