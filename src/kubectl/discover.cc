// What a cluster is: api-resources, api-versions, cluster-info, version.
#include <algorithm>

#include "base/version.h"
#include "kubectl/print.h"
#include "kubectl/select.h"
#include "kubectl/tabwriter.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::kubectl {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& w : words) out += (out.empty() ? "" : ",") + w;
  return out;
}

bool has_all(const std::vector<std::string>& list, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&list](const std::string& w) {
    return std::find(list.begin(), list.end(), w) != list.end();
  });
}

}  // namespace

Status api_resources(Invocation& in) {
  std::string group, sort_by, output;
  std::vector<std::string> verbs, categories;
  bool namespaced = true, no_headers = false;
  in.flags.add("api-group", &group, "Limit to resources in the specified API group.");
  in.flags.add("namespaced", &namespaced,
               "If false, non-namespaced resources will be returned, otherwise returning "
               "namespaced resources by default.");
  in.flags.add("verbs", &verbs, "Limit to resources that support the specified verbs.");
  in.flags.add("categories", &categories,
               "Limit to resources that belong to the specified categories.");
  in.flags.add("sort-by", &sort_by,
               "If non-empty, sort list of resources using specified field "
               "('name' or 'kind').");
  in.flags.add("output", &output, "Output format. One of: (wide, name).", 'o');
  in.flags.add("no-headers", &no_headers,
               "When using the default or custom-column output format, "
               "don't print headers (default print headers).");
  TRY(in.parse());
  if (!in.args.empty()) return in.usage("unexpected arguments: [" + in.args[0] + "]");
  if (!output.empty() && output != "wide" && output != "name") {
    return failure("--output " + output + " is not available");
  }
  if (!sort_by.empty() && sort_by != "name" && sort_by != "kind") {
    return failure("--sort-by accepts only name or kind");
  }
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  std::vector<const Resource*> shown;
  for (const Resource* r : mapper->all(true)) {
    if (in.flags.given("api-group") && r->group != group) continue;
    if (in.flags.given("namespaced") && r->namespaced != namespaced) continue;
    if (has_all(r->verbs, verbs) && has_all(r->categories, categories)) shown.push_back(r);
  }
  std::stable_sort(shown.begin(), shown.end(), [&](const Resource* a, const Resource* b) {
    const std::string& x = sort_by == "kind" ? a->kind : sort_by == "name" ? a->plural : a->group;
    const std::string& y = sort_by == "kind" ? b->kind : sort_by == "name" ? b->plural : b->group;
    return x != y ? x < y : a->plural < b->plural;
  });
  std::string out;
  if (output != "name" && !no_headers) {
    out = "NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND";
    out += output == "wide" ? "\tVERBS\tCATEGORIES\n" : "\n";
  }
  for (const Resource* r : shown) {
    if (output == "name") {
      out += r->group_resource() + "\n";
      continue;
    }
    out += r->plural + "\t" + joined(r->short_names) + "\t" + r->api_version() + "\t" +
           (r->namespaced ? "true" : "false") + "\t" + r->kind;
    if (output == "wide") out += "\t" + joined(r->verbs) + "\t" + joined(r->categories);
    out += "\n";
  }
  print(align(out, kTableColumns));
  return Status();
}

Status api_versions(Invocation& in) {
  TRY(in.parse());
  if (!in.args.empty()) return in.usage("unexpected arguments: [" + in.args[0] + "]");
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  std::vector<std::string> all = mapper->api_versions();
  std::sort(all.begin(), all.end());
  for (const std::string& v : all) print(v + "\n");
  return Status();
}

Status cluster_info(Invocation& in) {
  TRY(in.parse());
  TRY_ASSIGN(session, in.session());
  auto line = [](const std::string& name, const std::string& url) {
    // As for a terminal or not: no colours, so that it can be piped.
    print(name + " is running at " + url + "\n");
  };
  Query q;
  q.args = {"services"};
  q.label_selector = "kubernetes.io/cluster-service=true";
  Target t;
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(services, mapper->find("services"));
  t.resource = services;
  t.ns = session->namespace_given() ? session->ns() : "kube-system";
  TRY_ASSIGN(pages, fetch(*session, q, t));
  line("Kubernetes control plane", session->server_url());
  for (const Document& page : pages) {
    for (const Value& s : page.root["items"].items()) {
      std::string name(s["metadata"]["name"].as_string()), scheme, port;
      const Value& first = s["spec"]["ports"].at(0);
      port = first["name"].as_string();
      if (port == "https" || first["port"].as_int() == 443) scheme = "https";
      std::string part = name;
      if (!scheme.empty()) {
        part = scheme + ":" + name + ":" + port;
      } else if (!port.empty()) {
        part = name + ":" + port;
      }
      std::string shown(s["metadata"]["labels"]["kubernetes.io/name"].as_string());
      line(shown.empty() ? name : shown, session->server_url() + "/api/v1/namespaces/" +
                                             std::string(s["metadata"]["namespace"].as_string()) +
                                             "/services/" + part + "/proxy");
    }
  }
  print("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.\n");
  return Status();
}

Status version(Invocation& in) {
  bool client = false;
  std::string output;
  in.flags.add("client", &client, "If true, shows client version only (no server required).");
  in.flags.add("output", &output, "One of 'yaml' or 'json'.", 'o');
  TRY(in.parse());
  if (!in.args.empty()) return failure("extra arguments: [" + in.args[0] + "]");
  if (!output.empty() && output != "json" && output != "yaml") {
    return failure("--output must be 'yaml' or 'json'");
  }
  Document d;
  put(d, "clientVersion.major", kMajor);
  put(d, "clientVersion.minor", kMinor);
  put(d, "clientVersion.gitVersion", kGitVersion);
  put(d, "clientVersion.platform", "linux/amd64");
  Status failed;
  if (!client) {
    Result<Session*> session = in.session();
    Result<Document> server = session.ok() ? (*session)->call(Call("GET", "/version"))
                                           : Result<Document>(session.status());
    failed = server.status();
    if (server.ok()) d.root.set(d.arena, "serverVersion", deep_copy(d.arena, server->root));
  }
  if (output == "json") {
    std::string compact;
    write_json(compact, d.root, false);
    print(indent_json(compact, 2) + "\n");
  } else if (output == "yaml") {
    print(write_yaml(d.root));
  } else {
    print("Client Version: " + std::string(kGitVersion) + "\n");
    std::string server(d.root["serverVersion"]["gitVersion"].as_string());
    if (!server.empty()) print("Server Version: " + server + "\n");
  }
  return failed;
}

}  // namespace keles::kubectl
