#include <algorithm>

#include "base/encoding.h"
#include "base/host_port.h"
#include "kubectl/describe.h"
#include "kubectl/print.h"
#include "machinery/labels.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

std::string number(const Value& v) { return std::to_string(v.as_int()); }

void write_head(const Value& o, Description& d, bool created) {
  const Value& meta = o["metadata"];
  d.line(0, "Name:\t" + str(meta["name"]));
  d.line(0, "Namespace:\t" + str(meta["namespace"]));
  if (created) d.line(0, "CreationTimestamp:\t" + local_time(meta["creationTimestamp"]));
}

std::string selector_text(const Value& o) {
  const Value& selector = o["spec"]["selector"];
  if (o["kind"].as_string() == "ReplicationController") {  // the older form
    return Selector::from_set(selector).to_string();
  }
  Result<Selector> s = Selector::from_label_selector(selector);
  return s.ok() ? s->to_string() : "";
}

void write_marks(const Value& o, Description& d) {
  d.labels("Labels", o["metadata"]["labels"]);
  d.annotations("Annotations", o["metadata"]["annotations"]);
}

void write_conditions(const Value& o, Description& d) {
  if (o["status"]["conditions"].empty()) return;
  d.line(0, "Conditions:");
  d.line(1, "Type\tStatus\tReason");
  d.line(1, "----\t------\t------");
  for (const Value& c : o["status"]["conditions"].items()) {
    d.line(1, str(c["type"]) + " \t" + str(c["status"]) + "\t" + str(c["reason"]));
  }
}

// "2 Running / 0 Waiting / 0 Succeeded / 0 Failed", of the pods that the object controls.
std::string pods_status(const PageContext& c, const Value& o) {
  int running = 0, waiting = 0, succeeded = 0, failed = 0;
  for (const Document& page :
       c.list("pods", str(o["metadata"]["namespace"]), selector_text(o), "")) {
    for (const Value& pod : page.root["items"].items()) {
      bool own = false;
      for (const Value& r : pod["metadata"]["ownerReferences"].items()) {
        own = own || (r["controller"].as_bool() && r["uid"].equals(o["metadata"]["uid"]));
      }
      if (!own) continue;
      std::string_view phase = pod["status"]["phase"].as_string();
      running += phase == "Running";
      waiting += phase == "Pending";
      succeeded += phase == "Succeeded";
      failed += phase == "Failed";
    }
  }
  return std::to_string(running) + " Running / " + std::to_string(waiting) + " Waiting / " +
         std::to_string(succeeded) + " Succeeded / " + std::to_string(failed) + " Failed";
}

// The endpoints of a port: three, and how many more.
std::string endpoints_text(const std::vector<Document>& pages, std::string_view port) {
  std::vector<std::string> all;
  bool any = false;
  for (const Document& page : pages) {
    for (const Value& slice : page.root["items"].items()) {
      any = true;
      auto add = [&](const std::string& suffix) {
        for (const Value& e : slice["endpoints"].items()) {
          const Value& ready = e["conditions"]["ready"];
          if (!ready.is_null() && !ready.as_bool()) continue;
          std::string address = str(e["addresses"].at(0));
          all.push_back(suffix.empty() ? address : url_host(address) + suffix);
        }
      };
      if (slice["ports"].empty()) add("");
      for (const Value& p : slice["ports"].items()) {
        if (p["name"].as_string() == port) add(":" + number(p["port"]));
      }
    }
  }
  if (!any) return "<none>";
  std::string out;
  for (size_t i = 0; i < all.size() && i < 3; ++i) out += (i ? "," : "") + all[i];
  if (all.size() > 3) out += " + " + std::to_string(all.size() - 3) + " more...";
  return out;
}

std::string ingress_text(const Value& list) {
  std::string out;
  for (const Value& i : list.items()) {
    if (!out.empty()) out += ", ";
    std::string ip = str(i["ip"]), mode = str(i["ipMode"]);
    out += ip.empty() ? str(i["hostname"]) : ip + (mode.empty() ? "" : " (" + mode + ")");
  }
  return out;
}

void write_service_ports(const PageContext& c, const Value& o, Description& d) {
  std::string name = str(o["metadata"]["name"]);
  std::vector<Document> slices = c.list("endpointslices", str(o["metadata"]["namespace"]),
                                        "kubernetes.io/service-name=" + name, "");
  for (const Value& p : o["spec"]["ports"].items()) {
    std::string title = str_or(p["name"], "<unset>"), protocol = "/" + str(p["protocol"]);
    d.line(0, "Port:\t" + title + "\t" + number(p["port"]) + protocol);
    d.line(0, "TargetPort:\t" + str(p["targetPort"]) + protocol);
    if (!str(p["appProtocol"]).empty()) d.line(0, "AppProtocol:\t" + str(p["appProtocol"]));
    if (p["nodePort"].as_int() != 0) {
      d.line(0, "NodePort:\t" + title + "\t" + number(p["nodePort"]) + protocol);
    }
    d.line(0, "Endpoints:\t" + endpoints_text(slices, p["name"].as_string()));
  }
}

}  // namespace

void describe_service(const PageContext& c, const Value& o, Description& d) {
  const Value& spec = o["spec"];
  write_head(o, d, false);
  write_marks(o, d);
  d.line(0, "Selector:\t" + labels_text(spec["selector"]));
  d.line(0, "Type:\t" + str(spec["type"]));
  if (!str(spec["ipFamilyPolicy"]).empty()) {
    d.line(0, "IP Family Policy:\t" + str(spec["ipFamilyPolicy"]));
  }
  auto list_or_none = [](const Value& v) { return v.empty() ? "<none>" : join(v, ","); };
  d.line(0, "IP Families:\t" + list_or_none(spec["ipFamilies"]));
  d.line(0, "IP:\t" + str(spec["clusterIP"]));
  d.line(0, "IPs:\t" + list_or_none(spec["clusterIPs"]));
  if (!spec["externalIPs"].empty()) d.line(0, "External IPs:\t" + join(spec["externalIPs"], ","));
  if (!str(spec["loadBalancerIP"]).empty()) {
    d.line(0, "Desired LoadBalancer IP:\t" + str(spec["loadBalancerIP"]));
  }
  if (!str(spec["externalName"]).empty()) {
    d.line(0, "External Name:\t" + str(spec["externalName"]));
  }
  const Value& ingress = o["status"]["loadBalancer"]["ingress"];
  if (!ingress.empty()) d.line(0, "LoadBalancer Ingress:\t" + ingress_text(ingress));
  write_service_ports(c, o, d);
  d.line(0, "Session Affinity:\t" + str(spec["sessionAffinity"]));
  for (const auto& [title, field] : {std::pair("External Traffic Policy", "externalTrafficPolicy"),
                                     std::pair("Internal Traffic Policy", "internalTrafficPolicy"),
                                     std::pair("HealthCheck NodePort", "healthCheckNodePort")}) {
    if (!str(spec[field]).empty()) d.line(0, std::string(title) + ":\t" + str(spec[field]));
  }
  if (!spec["loadBalancerSourceRanges"].empty()) {
    d.line(0, "LoadBalancer Source Ranges:\t" + join(spec["loadBalancerSourceRanges"], ","));
  }
  if (!str(spec["trafficDistribution"]).empty()) {
    d.line(0, "Traffic Distribution:\t" + str(spec["trafficDistribution"]));
  }
}

void describe_deployment(const PageContext& c, const Value& o, Description& d) {
  const Value &spec = o["spec"], &status = o["status"];
  write_head(o, d, true);
  write_marks(o, d);
  d.line(0, "Selector:\t" + selector_text(o));
  d.line(0, "Replicas:\t" + number(spec["replicas"]) + " desired | " +
                number(status["updatedReplicas"]) + " updated | " + number(status["replicas"]) +
                " total | " + number(status["availableReplicas"]) + " available | " +
                number(status["unavailableReplicas"]) + " unavailable");
  d.line(0, "StrategyType:\t" + str(spec["strategy"]["type"]));
  d.line(0, "MinReadySeconds:\t" + number(spec["minReadySeconds"]));
  const Value& rolling = spec["strategy"]["rollingUpdate"];
  if (rolling.is_map()) {
    d.line(0, "RollingUpdateStrategy:\t" + str(rolling["maxUnavailable"]) + " max unavailable, " +
                  str(rolling["maxSurge"]) + " max surge");
  }
  describe_pod_template(spec["template"], d);
  write_conditions(o, d);
  // The new set is the one of the current template; the old ones follow their creation.
  std::vector<Document> pages =
      c.list("replicasets.v1.apps", str(o["metadata"]["namespace"]), selector_text(o), "");
  std::vector<const Value*> sets;
  for (const Document& page : pages) {
    for (const Value& rs : page.root["items"].items()) {
      for (const Value& r : rs["metadata"]["ownerReferences"].items()) {
        if (r["controller"].as_bool() && r["uid"].equals(o["metadata"]["uid"])) sets.push_back(&rs);
      }
    }
  }
  std::stable_sort(sets.begin(), sets.end(), [](const Value* a, const Value* b) {
    return (*a)["metadata"]["creationTimestamp"].as_string() <
           (*b)["metadata"]["creationTimestamp"].as_string();
  });
  std::string current, old;
  for (const Value* rs : sets) {
    Document t;
    t.root = deep_copy(t.arena, (*rs)["spec"]["template"]);
    if (Value* m = t.root.find("metadata")) {
      if (Value* labels = m->find("labels")) labels->erase("pod-template-hash");
    }
    std::string text = str((*rs)["metadata"]["name"]) + " (" + number((*rs)["status"]["replicas"]) +
                       "/" + number((*rs)["spec"]["replicas"]) + " replicas created)";
    if (current.empty() && t.root.equals(spec["template"])) {
      current = text;
    } else {
      old += (old.empty() ? "" : ", ") + text;
    }
  }
  if (sets.empty()) return;
  d.line(0, "OldReplicaSets:\t" + (old.empty() ? "<none>" : old));
  d.line(0, "NewReplicaSet:\t" + (current.empty() ? "<none>" : current));
}

void describe_replicaset(const PageContext& c, const Value& o, Description& d) {
  write_head(o, d, false);
  d.line(0, "Selector:\t" + selector_text(o));
  write_marks(o, d);
  if (!controller_of(o).empty()) d.line(0, "Controlled By:\t" + controller_of(o));
  d.line(0, "Replicas:\t" + number(o["status"]["replicas"]) + " current / " +
                number(o["spec"]["replicas"]) + " desired");
  d.line(0, "Pods Status:\t" + pods_status(c, o));
  describe_pod_template(o["spec"]["template"], d);
  write_conditions(o, d);
}

void describe_statefulset(const PageContext& c, const Value& o, Description& d) {
  const Value& spec = o["spec"];
  write_head(o, d, true);
  d.line(0, "Selector:\t" + selector_text(o));
  write_marks(o, d);
  d.line(0, "Replicas:\t" + number(spec["replicas"]) + " desired | " +
                number(o["status"]["replicas"]) + " total");
  d.line(0, "Update Strategy:\t" + str(spec["updateStrategy"]["type"]));
  const Value& rolling = spec["updateStrategy"]["rollingUpdate"];
  if (rolling["partition"].is_int()) {
    d.line(1, "Partition:\t" + number(rolling["partition"]));
    if (!rolling["maxUnavailable"].is_null()) {
      d.line(1, "MaxUnavailable:\t" + str(rolling["maxUnavailable"]));
    }
  }
  d.line(0, "Pods Status:\t" + pods_status(c, o));
  describe_pod_template(spec["template"], d);
  d.line(0, spec["volumeClaimTemplates"].empty() ? "Volume Claims:\t<none>" : "Volume Claims:");
  for (const Value& v : spec["volumeClaimTemplates"].items()) {
    d.line(1, "Name:\t" + str(v["metadata"]["name"]));
    d.line(1, "StorageClass:\t" + str(v["spec"]["storageClassName"]));
    d.labels("  Labels", v["metadata"]["labels"]);
    d.annotations("  Annotations", v["metadata"]["annotations"]);
    d.line(1, "Capacity:\t" + str_or(v["spec"]["resources"]["requests"]["storage"], "<default>"));
    d.line(1, "Access Modes:\t[" + join(v["spec"]["accessModes"], " ") + "]");
  }
}

void describe_daemonset(const PageContext& c, const Value& o, Description& d) {
  const Value& status = o["status"];
  write_head(o, d, false);
  d.line(0, "Selector:\t" + selector_text(o));
  d.line(0, "Node-Selector:\t" + labels_text(o["spec"]["template"]["spec"]["nodeSelector"]));
  write_marks(o, d);
  for (const auto& [title, field] :
       {std::pair("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        std::pair("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        std::pair("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        std::pair("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        std::pair("Number of Nodes Misscheduled", "numberMisscheduled")}) {
    d.line(0, std::string(title) + ": " + number(status[field]));
  }
  d.line(0, "Pods Status:\t" + pods_status(c, o));
  describe_pod_template(o["spec"]["template"], d);
}

void describe_job(const PageContext&, const Value& o, Description& d) {
  const Value &spec = o["spec"], &status = o["status"];
  write_head(o, d, false);
  d.line(0, "Selector:\t" + selector_text(o));
  write_marks(o, d);
  if (!controller_of(o).empty()) d.line(0, "Controlled By:\t" + controller_of(o));
  d.line(0, "Parallelism:\t" + str_or(spec["parallelism"], "<unset>"));
  d.line(0, "Completions:\t" + str_or(spec["completions"], "<unset>"));
  if (!str(spec["completionMode"]).empty()) {
    d.line(0, "Completion Mode:\t" + str(spec["completionMode"]));
  }
  d.line(0, std::string("Suspend:\t") + (spec["suspend"].as_bool() ? "true" : "false"));
  d.line(0, "Backoff Limit:\t" + number(spec["backoffLimit"]));
  if (!status["startTime"].is_null()) d.line(0, "Start Time:\t" + local_time(status["startTime"]));
  if (!status["completionTime"].is_null()) {
    d.line(0, "Completed At:\t" + local_time(status["completionTime"]));
    Result<WallTime> start = parse_time(status["startTime"].as_string()),
                     end = parse_time(status["completionTime"].as_string());
    if (start.ok() && end.ok()) d.line(0, "Duration:\t" + human_duration(*end - *start));
  }
  if (spec["activeDeadlineSeconds"].is_int()) {
    d.line(0, "Active Deadline Seconds:\t" + number(spec["activeDeadlineSeconds"]) + "s");
  }
  std::string ready = status["ready"].is_int() ? " (" + number(status["ready"]) + " Ready)" : "";
  d.line(0, "Pods Statuses:\t" + number(status["active"]) + " Active" + ready + " / " +
                number(status["succeeded"]) + " Succeeded / " + number(status["failed"]) +
                " Failed");
  if (spec["completionMode"].as_string() == "Indexed") {
    d.line(0, "Completed Indexes:\t" + str_or(status["completedIndexes"], "<none>"));
  }
  describe_pod_template(spec["template"], d);
}

void describe_cronjob(const PageContext&, const Value& o, Description& d) {
  const Value &spec = o["spec"], &status = o["status"], &job = spec["jobTemplate"]["spec"];
  write_head(o, d, false);
  write_marks(o, d);
  auto or_unset = [](const Value& v, const char* unit) {
    return v.is_null() ? std::string("<unset>") : str(v) + unit;
  };
  d.line(0, "Schedule:\t" + str(spec["schedule"]));
  d.line(0, "Concurrency Policy:\t" + str(spec["concurrencyPolicy"]));
  d.line(0, std::string("Suspend:\t") + (spec["suspend"].as_bool() ? "True" : "False"));
  d.line(0, "Time Zone:\t" + or_unset(spec["timeZone"], ""));
  d.line(0, "Successful Job History Limit:\t" + or_unset(spec["successfulJobsHistoryLimit"], ""));
  d.line(0, "Failed Job History Limit:\t" + or_unset(spec["failedJobsHistoryLimit"], ""));
  d.line(0, "Starting Deadline Seconds:\t" + or_unset(spec["startingDeadlineSeconds"], "s"));
  d.line(0, "Selector:\t<unset>");  // those of its jobs are made for each
  d.line(0, "Parallelism:\t" + or_unset(job["parallelism"], ""));
  d.line(0, "Completions:\t" + or_unset(job["completions"], ""));
  if (!job["activeDeadlineSeconds"].is_null()) {
    d.line(0, "Active Deadline Seconds:\t" + or_unset(job["activeDeadlineSeconds"], "s"));
  }
  describe_pod_template(job["template"], d);
  const Value& last = status["lastScheduleTime"];
  d.line(0, "Last Schedule Time:\t" + (last.is_null() ? "<unset>" : local_time(last)));
  std::string active;
  for (const Value& a : status["active"].items()) {
    active += (active.empty() ? "" : ", ") + str(a["name"]);
  }
  d.line(0, "Active Jobs:\t" + (active.empty() ? "<none>" : active));
}

void describe_configmap(const PageContext&, const Value& o, Description& d) {
  write_head(o, d, false);
  write_marks(o, d);
  d.line(0, "\nData\n====");
  for (const std::string& key : sorted_keys(o["data"])) {
    d.line(0, key + ":\n----\n" + str(o["data"][key]) + "\n");
  }
  d.line(0, "\nBinaryData\n====");
  for (const std::string& key : sorted_keys(o["binaryData"])) {
    size_t size = base64_decode(o["binaryData"][key].as_string()).value_or("").size();
    d.line(0, key + ": " + std::to_string(size) + " bytes");
  }
  d.line(0, "");
}

void describe_secret(const PageContext&, const Value& o, Description& d) {
  write_head(o, d, false);
  write_marks(o, d);
  std::string type = str(o["type"]);
  d.line(0, "\nType:\t" + type);
  d.line(0, "\nData\n====");
  for (const std::string& key : sorted_keys(o["data"])) {
    std::string value = base64_decode(o["data"][key].as_string()).value_or("");
    bool token = key == "token" && type == "kubernetes.io/service-account-token";
    d.line(0, key + ":\t" + (token ? value : std::to_string(value.size()) + " bytes"));
  }
}

void describe_namespace(const PageContext& c, const Value& o, Description& d) {
  std::string name = str(o["metadata"]["name"]);
  d.line(0, "Name:\t" + name);
  write_marks(o, d);
  d.line(0, "Status:\t" + str(o["status"]["phase"]));
  if (!o["status"]["conditions"].empty()) {
    d.line(0, "Conditions:");
    d.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
    d.line(1, "----\t------\t------------------\t------\t-------");
    for (const Value& one : o["status"]["conditions"].items()) {
      d.line(1, str(one["type"]) + "\t" + str(one["status"]) + "\t" +
                    local_time(one["lastTransitionTime"]) + "\t" + str(one["reason"]) + "\t" +
                    str(one["message"]));
    }
  }
  d.line(0, "");
  auto any = [](const std::vector<Document>& pages) {
    return std::any_of(pages.begin(), pages.end(),
                       [](const Document& p) { return !p.root["items"].empty(); });
  };
  std::vector<Document> quotas = c.list("resourcequotas", name, "", "");
  if (!any(quotas)) d.line(0, "No resource quota.");
  for (const Document& page : quotas) {
    if (!page.root["items"].empty()) d.line(0, "Resource Quotas");
    for (const Value& q : page.root["items"].items()) {
      d.line(1, "Name:\t" + str(q["metadata"]["name"]));
      d.line(1, "Resource\tUsed\tHard");
      d.line(1, "--------\t---\t---");
      for (const std::string& key : sorted_keys(q["status"]["hard"])) {
        d.line(1, key + "\t" + str_or(q["status"]["used"][key], "0") + "\t" +
                      str(q["status"]["hard"][key]));
      }
    }
  }
  d.line(0, "");
  std::vector<Document> ranges = c.list("limitranges", name, "", "");
  if (!any(ranges)) d.line(0, "No LimitRange resource.");
  for (const Document& page : ranges) {
    if (page.root["items"].empty()) continue;
    d.line(0, "Resource Limits");
    d.line(0, " Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio");
    d.line(0, " ----\t--------\t---\t---\t---------------\t-------------\t-----------------------");
    for (const Value& r : page.root["items"].items()) {
      for (const Value& limit : r["spec"]["limits"].items()) {
        std::vector<std::string> names;
        for (const char* which :
             {"min", "max", "default", "defaultRequest", "maxLimitRequestRatio"}) {
          for (const std::string& key : sorted_keys(limit[which])) {
            if (std::find(names.begin(), names.end(), key) == names.end()) names.push_back(key);
          }
        }
        std::sort(names.begin(), names.end());
        for (const std::string& key : names) {
          std::string line = " " + str(limit["type"]) + "\t" + key;
          for (const char* which :
               {"min", "max", "defaultRequest", "default", "maxLimitRequestRatio"}) {
            line += "\t" + str_or(limit[which][key], "-");
          }
          d.line(0, line);
        }
      }
    }
  }
}

}  // namespace keles::kubectl
