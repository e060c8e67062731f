#include "controllers/storage/attach_plan.h"

#include <algorithm>

#include "net/pki.h"

namespace keles::controllers {

using namespace api::core_v1;

std::string unique_volume_name(const CSIPersistentVolumeSource& csi) {
  return "kubernetes.io/csi/" + std::string(csi.driver()) + "^" + std::string(csi.volume_handle());
}

std::string attachment_name(std::string_view handle, std::string_view driver,
                            std::string_view node) {
  std::string all(handle);
  all += driver;
  all += node;
  return "csi-" + net::hex(net::sha256(all));
}

bool is_exclusive(const PersistentVolume& volume) {
  const auto modes = volume.spec().access_modes();
  for (std::string_view mode : modes)
    if (mode == "ReadWriteMany" || mode == "ReadOnlyMany") return false;
  return !modes.empty();
}

namespace {

// What a pod is told whose volume the pods of other nodes have.
std::string refusal(const AttachState& state, const std::string& node, const PodName& pod) {
  std::string local;
  int elsewhere = 0;
  for (const auto& [other, attachment] : state.attachments) {
    if (other == node) continue;
    auto pods = state.wanted.find(other);
    if (pods == state.wanted.end()) continue;
    for (const PodName& p : pods->second) {
      if (p.ns != pod.ns) {
        ++elsewhere;
      } else {
        local += (local.empty() ? "" : ", ") + p.name;
      }
    }
  }
  const std::string what = "Multi-Attach error for volume \"" + state.volume + "\" ";
  const std::string others = std::to_string(elsewhere) + " pod(s) in different namespaces";
  if (local.empty() && elsewhere == 0) {
    return what +
           "Volume is already exclusively attached to one node and can't be attached to another";
  }
  if (local.empty()) return what + "Volume is already used by " + others;
  return what + "Volume is already used by pod(s) " + local +
         (elsewhere > 0 ? " and " + others : "");
}

}  // namespace

AttachPlan plan_attach(const AttachState& state) {
  AttachPlan plan;
  for (const auto& [node, attachment] : state.attachments) {
    if (state.wanted.contains(node) || attachment.deleting) continue;
    auto it = state.nodes.find(node);
    const AttachNode facts = it == state.nodes.end() ? AttachNode() : it->second;
    const bool late = facts.unwanted_for >= kForceDetachAfter;
    if (!facts.in_use) {
      plan.detach.push_back({node, ""});
    } else if (facts.out_of_service) {
      plan.detach.push_back({node, "out-of-service"});
    } else if (!facts.healthy && late) {
      plan.detach.push_back({node, "timeout"});
    } else if (!facts.healthy) {
      const Duration left = kForceDetachAfter - facts.unwanted_for;
      if (plan.look_again.count() == 0 || left < plan.look_again) plan.look_again = left;
    }
  }
  const bool held = !state.attachments.empty();
  bool given = false;  // to one node at a time
  for (const auto& [node, pods] : state.wanted) {
    auto there = state.attachments.find(node);
    if (there != state.attachments.end()) continue;
    if (state.exclusive && held) {
      for (const PodName& pod : pods) plan.refused[pod] = refusal(state, node, pod);
    } else if (!state.exclusive || !given) {
      plan.attach.push_back(node);
      given = true;
    }
  }
  return plan;
}

}  // namespace keles::controllers
