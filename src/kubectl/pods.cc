#include "kubectl/pods.h"

#include <algorithm>
#include <tuple>

#include "machinery/labels.h"

namespace keles::kubectl {
namespace {

bool is_ready(const Value& pod) {
  for (const Value& c : pod["status"]["conditions"].items()) {
    if (c["type"].as_string() == "Ready") return c["status"].as_string() == "True";
  }
  return false;
}

Result<std::string> selector_of(const Found& f) {
  const Value& selector = f.object.root["spec"]["selector"];
  bool label_selector = selector["matchLabels"].is_map() || selector["matchExpressions"].is_list();
  if (!selector.is_map() || selector.empty()) {
    return failure("cannot attach to " + f.resource->group_resource() + " \"" + f.name +
                   "\": it selects no pods");
  }
  if (!label_selector) return Selector::from_set(selector).to_string();
  TRY_ASSIGN(s, Selector::from_label_selector(selector));
  return s.to_string();
}

// Best first.
Result<std::vector<Found>> select_pods(Session& session, const Resource& pods,
                                       const std::string& ns, const std::string& selector) {
  std::vector<Found> out;
  Query q;
  q.label_selector = selector;
  Target t;
  t.resource = &pods;
  t.ns = ns;
  TRY_ASSIGN(pages, fetch(session, q, t));
  for (const Document& page : pages) {
    for (const Value& item : page.root["items"].items()) {
      Found f;
      f.resource = &pods;
      f.ns = ns;
      f.name = item["metadata"]["name"].as_string();
      f.object.root = deep_copy(f.object.arena, item);
      out.push_back(std::move(f));
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Found& a, const Found& b) {
    auto rank = [](const Value& p) {
      std::string_view phase = p["status"]["phase"].as_string();
      int by_phase = phase == "Running" ? 0 : phase == "Pending" ? 1 : 2;
      bool ending = !p["metadata"]["deletionTimestamp"].is_null();
      return std::tuple(ending, by_phase, !is_ready(p),
                        p["metadata"]["creationTimestamp"].as_string());
    };
    return rank(a.object.root) < rank(b.object.root);
  });
  return out;
}

}  // namespace

void PodTimeout::add_to(Flags& flags) {
  flags.add("pod-running-timeout", &limit,
            "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one "
            "pod is running");
}

Result<std::vector<Found>> pods_behind(Session& session, const Found& object,
                                       const PodTimeout& timeout) {
  TRY_ASSIGN(mapper, session.mapper());
  TRY_ASSIGN(pods, mapper->find("pods"));
  if (object.resource->group.empty() && object.resource->kind == "Pod") {
    std::vector<Found> out;
    Found f;
    f.resource = pods;
    f.ns = object.ns;
    f.name = object.name;
    f.object = object.object.clone();
    out.push_back(std::move(f));
    return out;
  }
  TRY_ASSIGN(selector, selector_of(object));
  const TimePoint end = session.loop().now() + timeout.limit;
  for (;;) {
    TRY_ASSIGN(found, select_pods(session, *pods, object.ns, selector));
    if (!found.empty()) return std::move(found);
    if (session.loop().now() >= end) return failure("timed out waiting for the condition");
    session.sleep(std::min<Duration>(250ms, end - session.loop().now()));
  }
}

Result<Found> pod_for(Session& session, const std::string& word, const PodTimeout& timeout) {
  Query q;
  q.args = word.find('/') == word.npos ? Args{"pods", word} : Args{word};
  TRY_ASSIGN(found, find_objects(session, q));
  TRY_ASSIGN(pods, pods_behind(session, found[0], timeout));
  return std::move(pods[0]);
}

Result<std::string> choose_container(const Value& pod, const std::string& asked, bool quiet) {
  std::vector<std::string> names;
  std::string shown;
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    for (const Value& c : pod["spec"][list].items()) {
      std::string name(c["name"].as_string());
      names.push_back(name);
      shown += (shown.empty() ? "" : ", ") + name;
      if (list[0] == 'i') shown += " (init)";
      if (list[0] == 'e') shown += " (ephem)";
    }
  }
  if (!asked.empty()) {
    if (std::find(names.begin(), names.end(), asked) != names.end()) return asked;
    return failure("container " + asked + " not found in pod " +
                   std::string(pod["metadata"]["name"].as_string()));
  }
  if (names.empty()) return failure("the pod has no containers");
  std::string chosen(
      pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_string());
  if (!chosen.empty()) {
    if (std::find(names.begin(), names.end(), chosen) != names.end()) return chosen;
    print_error("Default container name \"" + chosen + "\" not found in a pod\n");
  }
  if (names.size() > 1 && !quiet) {
    print_error("Defaulted container \"" + names[0] + "\" out of: " + shown + "\n");
  }
  return names[0];
}

}  // namespace keles::kubectl
