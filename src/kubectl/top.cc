// kubectl top node | pod: what is used, from metrics.k8s.io.
#include <algorithm>
#include <map>
#include <tuple>

#include "kubectl/tabwriter.h"
#include "kubectl/verbs.h"
#include "machinery/quantity.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

constexpr std::string_view kPath = "/apis/metrics.k8s.io/v1beta1";
constexpr Duration kYoung = 2min;  // a pod of this age may have no metrics yet

// The resources that are measured, in the order of the columns.
struct Shown {
  std::vector<std::string> resources{"cpu", "memory"};
  bool headers = true;
  std::string sort_by;
  explicit Shown(bool swap) {
    if (swap) resources.emplace_back("swap");
  }
};
using Usage = std::map<std::string, Quantity>;

struct Flagged {
  std::string selector, field_selector, sort_by, name;
  bool no_headers = false, swap = false, protobuf = true;

  void add_to(Flags& f) {
    f.add("selector", &selector,
          "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.", 'l');
    f.add("sort-by", &sort_by,
          "If non-empty, sort by the specified field, which can be either 'cpu' or 'memory'.");
    f.add("no-headers", &no_headers, "If present, print output without headers.");
    f.add("show-swap", &swap, "Print resources related to swap memory.");
    f.add("use-protocol-buffers", &protobuf,
          "Accepted as the stock kubectl has it; this one reads JSON.");
  }
  Status check(Invocation& in) {
    if (in.args.size() > 1) return in.usage(in.command().name);
    if (in.args.size() == 1) name = in.args[0];
    if (!sort_by.empty() && sort_by != "cpu" && sort_by != "memory") {
      return failure("--sort-by accepts only cpu or memory");
    }
    return Status();
  }
  Shown shown() const {
    Shown s(swap);
    s.headers = !no_headers;
    s.sort_by = sort_by;
    return s;
  }
};

Status metrics_served(Session& session) {
  TRY_ASSIGN(groups, session.call({"GET", "/apis"}));
  for (const Value& g : groups.root["groups"].items()) {
    if (g["name"].as_string() != "metrics.k8s.io") continue;
    for (const Value& v : g["versions"].items()) {
      if (v["version"].as_string() == "v1beta1") return Status();
    }
  }
  return failure("Metrics API not available");
}

// One object or a list, as a list.
Result<Document> read(Session& session, const std::string& path, const Flagged& f) {
  Call call("GET", path + (f.name.empty() ? "" : "/" + escape_query(f.name)));
  if (f.name.empty()) {
    add_query(call.query, "labelSelector", f.selector);
    add_query(call.query, "fieldSelector", f.field_selector);
  }
  TRY_ASSIGN(got, session.call(std::move(call)));
  if (f.name.empty()) return std::move(got);
  Document list;
  list.root = Value::map();
  Value items = Value::list();
  items.append(list.arena, deep_copy(list.arena, got.root));
  list.root.set(list.arena, "items", items);
  return list;
}

Usage usage_of(const Value& usage) {
  Usage out;
  for (const Member& m : usage.members()) {
    out[std::string(m.key())] = Quantity::parse_or_zero(m.value.as_string());
  }
  return out;
}

Usage usage_of_pod(const Value& pod) {
  Usage out;
  for (const Value& c : pod["containers"].items()) {
    for (const auto& [resource, q] : usage_of(c["usage"])) out[resource].add(q);
  }
  return out;
}

std::string amount(const std::string& resource, const Quantity& q) {
  if (resource == "cpu") return std::to_string(q.milli_value()) + "m";
  return std::to_string(q.value() / (1024 * 1024)) + "Mi";
}

std::string cells(const Shown& shown, Usage& usage) {
  std::string out;
  for (const std::string& r : shown.resources) out += amount(r, usage[r]) + "\t";
  return out;
}

// What uses most comes first; else by name.
struct Row {
  std::string ns, name;
  Usage usage;
  const Value* object;
};

void sort_rows(std::vector<Row>& rows, const std::string& by) {
  auto used = [&by](const Row& row) {
    auto at = row.usage.find(by);
    return at == row.usage.end() ? Quantity() : at->second;
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    if (!by.empty()) return used(a) > used(b);
    return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
  });
}

void write(const std::string& text) { print(align(escape_terminal(text), kTableColumns)); }

// --- nodes --------------------------------------------------------------------------------------

std::string node_line(const Row& row, const Shown& shown, const Value& has) {
  std::string out = row.name + "\t";
  Usage usage = row.usage;
  for (const std::string& r : shown.resources) {
    if (r == "swap" && has[r].is_null()) {
      out += "<unknown>\t<unknown>\t";
      continue;
    }
    out += amount(r, usage[r]) + "\t";
    if (has[r].is_null()) continue;
    const Quantity all = Quantity::parse_or_zero(has[r].as_string());
    double part = 0;
    if (!all.is_zero()) {
      part = static_cast<double>(usage[r].milli_value()) / static_cast<double>(all.milli_value());
    }
    out += std::to_string(static_cast<int64_t>(part * 100)) + "%\t";
  }
  return out + "\n";
}

// What a node can give, or has, with its swap.
Value resources_of(Document& d, const Value& node, bool capacity) {
  Value out = deep_copy(d.arena, node["status"][capacity ? "capacity" : "allocatable"]);
  const Value& swap = node["status"]["nodeInfo"]["swap"]["capacity"];
  if (!swap.is_null()) {
    out.set(d.arena, "swap", Value::string(d.arena.copy(std::to_string(swap.as_int()))));
  }
  return out;
}

void print_nodes(const Value& metrics, const Value& nodes, const Shown& shown, bool capacity) {
  std::string text;
  if (shown.headers) {
    text = "NAME\tCPU(cores)\tCPU(%)\tMEMORY(bytes)\tMEMORY(%)\t";
    if (shown.resources.size() > 2) text += "SWAP(bytes)\tSWAP(%)\t";
    text += "\n";
  }
  std::map<std::string, const Value*> left;
  for (const Value& n : nodes.items()) left[std::string(n["metadata"]["name"].as_string())] = &n;
  std::vector<Row> rows;
  for (const Value& m : metrics.items()) {
    rows.push_back({"", std::string(m["metadata"]["name"].as_string()), usage_of(m["usage"]), &m});
  }
  sort_rows(rows, shown.sort_by);
  Document scratch;
  for (const Row& row : rows) {
    auto node = left.find(row.name);
    Value has;
    if (node != left.end()) has = resources_of(scratch, *node->second, capacity);
    text += node_line(row, shown, has);
    if (node != left.end()) left.erase(node);
  }
  for (const auto& [name, node] : left) {
    text += name + "\t";
    for (size_t i = 0; i < shown.resources.size(); ++i) text += "<unknown>\t<unknown>\t";
    text += "\n";
  }
  write(text);
}

// --- pods ---------------------------------------------------------------------------------------

std::string container_lines(const Row& pod, const Shown& shown, const std::string& before) {
  std::vector<Row> rows;
  for (const Value& c : (*pod.object)["containers"].items()) {
    rows.push_back({"", std::string(c["name"].as_string()), usage_of(c["usage"]), &c});
  }
  sort_rows(rows, shown.sort_by);
  std::string out;
  for (Row& c : rows)
    out += before + pod.name + "\t" + c.name + "\t" + cells(shown, c.usage) + "\n";
  return out;
}

std::string sum_lines(std::vector<Row>& rows, const Shown& shown, size_t columns) {
  Usage total;
  for (Row& row : rows) {
    for (const std::string& r : shown.resources) total[r].add(row.usage[r]);
  }
  const std::string bar = "________\t";
  return std::string(columns - 2, '\t') + bar + bar + "\n" + std::string(columns - 2, '\t') +
         cells(shown, total) + "\n";
}

void print_pods(const Value& metrics, const Shown& shown, bool all, bool containers, bool sum) {
  if (metrics.empty()) return;
  std::string text;
  size_t columns = 1 + shown.resources.size();
  if (shown.headers) {
    columns += (all ? 1 : 0) + (containers ? 1 : 0);
    text = std::string(all ? "NAMESPACE\t" : "") + (containers ? "POD\t" : "");
    text += "NAME\tCPU(cores)\tMEMORY(bytes)\t";
    if (shown.resources.size() > 2) text += "SWAP(bytes)\t";
    text += "\n";
  }
  std::vector<Row> rows;
  for (const Value& m : metrics.items()) {
    const Value& meta = m["metadata"];
    rows.push_back({all ? std::string(meta["namespace"].as_string()) : "",
                    std::string(meta["name"].as_string()), usage_of_pod(m), &m});
  }
  sort_rows(rows, shown.sort_by);
  for (Row& row : rows) {
    const std::string before = all ? row.ns + "\t" : "";
    if (containers) {
      text += container_lines(row, shown, before);
    } else {
      text += before + row.name + "\t" + cells(shown, row.usage) + "\n";
    }
  }
  if (sum) text += sum_lines(rows, shown, columns);
  write(text);
}

// Why there are no metrics: there are no pods, or they are too young, which is no error of theirs.
Status why_none(Session& session, const Flagged& f, bool all) {
  Flagged pods = f;
  const std::string ns = all ? "" : "/namespaces/" + escape_query(session.ns());
  TRY_ASSIGN(list, read(session, "/api/v1" + ns + "/pods", pods));
  const Value& items = list.root["items"];
  if (items.empty()) return Status();
  const WallTime now = session.loop().wall_now();
  for (const Value& p : items.items()) {
    auto born = parse_time(p["metadata"]["creationTimestamp"].as_string());
    if (!born.ok() || now - *born <= kYoung) continue;
    return failure("Metrics not available for pod " +
                   std::string(p["metadata"]["namespace"].as_string()) + "/" +
                   std::string(p["metadata"]["name"].as_string()) +
                   ", age: " + format_duration(now - *born));
  }
  return failure("metrics not available yet");
}

}  // namespace

Status top_node(Invocation& in) {
  Flagged f;
  bool capacity = false;
  f.add_to(in.flags);
  in.flags.add("show-capacity", &capacity,
               "Print node resources based on Capacity instead of Allocatable(default) of the "
               "nodes.");
  TRY(in.parse());
  TRY(f.check(in));
  if (!f.name.empty() && !f.selector.empty()) {
    return failure("only one of NAME or --selector can be provided");
  }
  TRY_ASSIGN(session, in.session());
  TRY(metrics_served(*session));
  TRY_ASSIGN(metrics, read(*session, std::string(kPath) + "/nodes", f));
  if (metrics.root["items"].empty()) return failure("metrics not available yet");
  TRY_ASSIGN(nodes, read(*session, "/api/v1/nodes", f));
  print_nodes(metrics.root["items"], nodes.root["items"], f.shown(), capacity);
  return Status();
}

Status top_pod(Invocation& in) {
  Flagged f;
  bool containers = false, all = false, sum = false;
  f.add_to(in.flags);
  in.flags.add("field-selector", &f.field_selector, "Selector (field query) to filter on.");
  in.flags.add("containers", &containers, "If present, print usage of containers within a pod.");
  in.flags.add("all-namespaces", &all,
               "If present, list the requested object(s) across all namespaces.", 'A');
  in.flags.add("sum", &sum, "Print the sum of the resource usage");
  TRY(in.parse());
  TRY(f.check(in));
  if (!f.name.empty() && !(f.selector.empty() && f.field_selector.empty())) {
    return failure("only one of NAME or selector can be provided");
  }
  TRY_ASSIGN(session, in.session());
  TRY(metrics_served(*session));
  const std::string ns = all ? "" : "/namespaces/" + escape_query(session->ns());
  TRY_ASSIGN(metrics, read(*session, std::string(kPath) + ns + "/pods", f));
  const Value& items = metrics.root["items"];
  if (items.empty()) {
    TRY(why_none(*session, f, all));
    print_error(all ? "No resources found\n"
                    : "No resources found in " + session->ns() + " namespace.\n");
  }
  print_pods(items, f.shown(), all, containers, sum);
  return Status();
}

}  // namespace keles::kubectl
