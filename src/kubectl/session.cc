#include "kubectl/session.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/file.h"
#include "base/version.h"
#include "client/kubeconfig.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/status_codec.h"

namespace keles::kubectl {
namespace {

std::string lower(std::string_view s) {
  std::string out(s);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return out;
}

Status unreadable(std::string_view what, const Status& why) {
  return Status::bad_request("error parsing " + std::string(what) + ": " + why.message());
}

Status add_object(Document object, const std::string& file, const std::string& default_ns,
                  std::vector<Input>& out) {
  const Value& root = object.root;
  if (root.is_null()) return Status();  // an empty document between two "---"
  std::string_view api_version = root["apiVersion"].as_string(), kind = root["kind"].as_string();
  if (kind.ends_with("List") && root["items"].is_list()) {
    for (const Value& item : root["items"].items()) {
      Document one;
      one.root = deep_copy(one.arena, item);
      TRY(add_object(std::move(one), file, default_ns, out));
    }
    return Status();
  }
  const KindDesc* desc = find_kind(api_version, kind);
  if (!desc) {
    return Status::bad_request(
        "resource mapping not found for name: \"" +
        std::string(root["metadata"]["name"].as_string()) + "\" namespace: \"" +
        std::string(root["metadata"]["namespace"].as_string()) + "\" from \"" + file +
        "\": no matches for kind \"" + std::string(kind) + "\" in version \"" +
        std::string(api_version) + "\"");
  }
  Input in{desc, "", std::string(root["metadata"]["name"].as_string()), std::move(object)};
  if (in.name.empty()) {
    return Status::bad_request("error: " + file + ": a " + std::string(kind) +
                               " without metadata.name");
  }
  if (desc->namespaced) {
    in.ns = in.object.root["metadata"]["namespace"].as_string();
    if (in.ns.empty()) {
      in.ns = default_ns;
      in.object.root.find("metadata")
          ->set(in.object.arena, "namespace", Value::string(in.object.arena.copy(in.ns)));
    }
  }
  out.push_back(std::move(in));
  return Status();
}

}  // namespace

void CommonFlags::add_to(Flags& flags) {
  flags.add("kubeconfig", &kubeconfig, "Path to the kubeconfig file to use for CLI requests.");
  flags.add("context", &context, "The name of the kubeconfig context to use");
  flags.add("namespace", &ns, "If present, the namespace scope for this CLI request", 'n');
  flags.add("request-timeout", &request_timeout, "How long to wait for a single server request");
}

Result<std::unique_ptr<Session>> Session::open(Loop& loop, const CommonFlags& flags) {
  KubeconfigChoice choice;
  choice.path = flags.kubeconfig;
  choice.context = flags.context;
  choice.ns = flags.ns;
  TRY_ASSIGN(config, load_client_config(choice));
  auto s = std::make_unique<Session>();
  s->ns_ = config.ns.empty() ? "default" : config.ns;
  s->server_ = config.endpoint.host + ":" + std::to_string(config.endpoint.port);
  HttpsClientOptions options;
  options.user_agent = "kubectl/" + std::string(kGitVersion);
  s->client_ = std::make_unique<HttpsClient>(loop, config, options);
  return s;
}

Task<Result<Document>> Session::request(Context ctx, std::string method, std::string path,
                                        std::string query, std::string content_type,
                                        std::string body, std::string accept) {
  net::Headers headers;
  headers.add("Accept", accept.empty() ? "application/json" : accept);
  if (!content_type.empty()) headers.add("Content-Type", content_type);
  Result<net::Response> answer = co_await client_->raw(ctx, method, path, query, headers, body);
  if (!answer.ok()) {
    co_return answer.status().with_prefix("The connection to the server " + server_ + " failed");
  }
  Result<Document> doc = parse_json(answer->body);
  if (answer->status >= 400) {
    if (doc.ok() && doc->root["kind"].as_string() == "Status")
      co_return status_from_value(doc->root, answer->status);
    co_return Status(reason_from("", answer->status), answer->body.substr(0, 1000));
  }
  co_return std::move(doc);
}

Result<const KindDesc*> find_resource_type(std::string_view word) {
  std::string w = lower(word);
  auto dot = w.find('.');
  std::string name = w.substr(0, dot), group = dot == w.npos ? "" : w.substr(dot + 1);
  for (const KindDesc* k : all_kinds()) {
    if (k->verbs.empty()) continue;
    if (dot != w.npos && group != k->group) continue;
    bool match =
        name == k->plural || name == k->singular || name == lower(k->kind) ||
        std::find(k->short_names.begin(), k->short_names.end(), name) != k->short_names.end();
    if (match && !(k->plural == "events" && !k->group.empty() && dot == w.npos)) return k;
  }
  return Status(Reason::kNotFound,
                "the server doesn't have a resource type \"" + std::string(word) + "\"");
}

std::string display_name(const KindDesc& kind, std::string_view name) {
  std::string s(kind.singular);
  if (!kind.group.empty()) s += "." + std::string(kind.group);
  return s + "/" + std::string(name);
}

Result<std::vector<Input>> read_objects(const std::vector<std::string>& files,
                                        const std::string& default_ns) {
  std::vector<Input> out;
  for (const std::string& file : files) {
    std::string text;
    if (file == "-") {
      text.assign(std::istreambuf_iterator<char>(std::cin), {});
    } else {
      Result<std::string> content = read_file(file);
      if (content.status().is(Reason::kNotFound)) {
        return Status::bad_request("error: the path \"" + file + "\" does not exist");
      }
      if (!content.ok()) return content.status();
      text = std::move(*content);
    }
    Result<std::vector<Document>> docs = parse_yaml_all(text);  // JSON is YAML too
    if (!docs.ok()) return unreadable(file, docs.status());
    for (Document& d : *docs) TRY(add_object(std::move(d), file, default_ns, out));
  }
  if (out.empty()) return Status::bad_request("error: no objects passed");
  return out;
}

}  // namespace keles::kubectl
