#include <algorithm>
#include <cstdio>

#include "kubectl/session.h"
#include "kubectl/verbs.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::kubectl {
namespace {

std::string cell_text(const Value& v) {
  if (v.is_string()) return std::string(v.as_string());
  if (v.is_int()) return std::to_string(v.as_int());
  if (v.is_bool()) return v.as_bool() ? "true" : "false";
  return v.is_null() ? "<none>" : to_json(v);
}

// The server's Table, its columns three spaces apart, as kubectl prints it.
void print_table(const Value& table, bool wide, bool with_namespace, bool headers) {
  std::vector<std::vector<std::string>> rows;
  std::vector<bool> shown;
  std::vector<std::string> head;
  if (with_namespace) head.emplace_back("NAMESPACE");
  for (const Value& c : table["columnDefinitions"].items()) {
    shown.push_back(wide || c["priority"].as_int() == 0);
    if (!shown.back()) continue;
    std::string name(c["name"].as_string());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char ch) { return std::toupper(ch); });
    head.push_back(std::move(name));
  }
  if (headers) rows.push_back(std::move(head));
  for (const Value& r : table["rows"].items()) {
    std::vector<std::string> row;
    if (with_namespace) row.emplace_back(r["object"]["metadata"]["namespace"].as_string());
    auto cells = r["cells"].items();
    for (size_t i = 0; i < cells.size() && i < shown.size(); ++i) {
      if (shown[i]) row.push_back(cell_text(cells[i]));
    }
    rows.push_back(std::move(row));
  }
  std::vector<size_t> width;
  for (const auto& row : rows) {
    width.resize(std::max(width.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(width[i] - row[i].size() + 3, ' ');
    }
    std::printf("%s\n", line.c_str());
  }
}

void print_names(const KindDesc& kind, const Value& answer) {
  auto one = [&kind](const Value& o) {
    std::printf("%s\n", display_name(kind, o["metadata"]["name"].as_string()).c_str());
  };
  if (answer["items"].is_list()) {
    for (const Value& o : answer["items"].items()) one(o);
  } else {
    one(answer);
  }
}

}  // namespace

Task<Status> get(Context ctx, Args args) {
  CommonFlags common;
  std::string output, selector;
  bool all = false, no_headers = false;
  Flags flags("Usage:\n  keles kubectl get TYPE [NAME]");
  flags.add("output", &output, "Output format. One of: json, yaml, name, wide", 'o');
  flags.add("selector", &selector, "Selector (label query) to filter on", 'l');
  flags.add("all-namespaces", &all, "List the requested object(s) across all namespaces.", 'A');
  flags.add("no-headers", &no_headers, "Do not print headers.");
  common.add_to(flags);
  Result<Args> rest = flags.parse(args);
  if (!rest.ok()) co_return rest.status();
  if (flags.help_wanted()) {
    std::fputs(flags.help_text().c_str(), stdout);
    co_return Status();
  }
  if (rest->empty()) co_return Status::bad_request("You must specify the type of resource to get.");
  bool table = output.empty() || output == "wide";
  if (!table && output != "json" && output != "yaml" && output != "name") {
    co_return Status::bad_request("unable to match a printer suitable for the output format \"" +
                                  output + "\", allowed formats are: json, name, wide, yaml");
  }
  std::string word = (*rest)[0], name = rest->size() > 1 ? (*rest)[1] : "";
  if (auto slash = word.find('/'); slash != std::string::npos) {
    name = word.substr(slash + 1);
    word = word.substr(0, slash);
  }
  Result<const KindDesc*> kind = find_resource_type(word);
  if (!kind.ok()) co_return kind.status();
  Result<std::unique_ptr<Session>> session = Session::open(ctx.loop(), common);
  if (!session.ok()) co_return session.status();
  std::string ns = (*kind)->namespaced && !all ? (*session)->ns() : "";
  std::string query;
  for (char c : selector) {
    char buf[4];
    std::snprintf(buf, sizeof buf, "%%%02X", static_cast<unsigned char>(c));
    query += buf;
  }
  if (!query.empty()) query = "labelSelector=" + query;
  Result<Document> answer = co_await (*session)->request(
      ctx, "GET", HttpsClient::path_of(**kind, ns, name), query, "", "",
      table ? "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" : "");
  if (!answer.ok()) co_return answer.status();
  const Value& root = answer->root;
  if (output == "json") {
    std::printf("%s\n", indent_json(to_json(root), 4).c_str());
  } else if (output == "yaml") {
    std::printf("%s", write_yaml(root).c_str());
  } else if (output == "name") {
    print_names(**kind, root);
  } else if (root["rows"].empty()) {
    if (all || !(*kind)->namespaced) {
      std::fprintf(stderr, "No resources found\n");
    } else {
      std::fprintf(stderr, "No resources found in %s namespace.\n", ns.c_str());
    }
  } else {
    print_table(root, output == "wide", all && (*kind)->namespaced, !no_headers);
  }
  co_return Status();
}

}  // namespace keles::kubectl
