// NodeRestriction (https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers):
// what a node agent may write, looked at in full: the Node authorizer has seen only the path.
#include <algorithm>
#include <array>
#include <set>

#include "base/encoding.h"
#include "machinery/value.h"
#include "net/pki.h"
#include "server/admission/plugins.h"
#include "server/auth/caller.h"
#include "server/auth/node.h"
#include "server/objects/meta.h"
#include "server/objects/pod_references.h"

namespace keles::admission {
namespace {

using registry::metadata;

std::string_view word(Operation o) {
  return o == Operation::kCreate ? "CREATE" : o == Operation::kUpdate ? "UPDATE" : "DELETE";
}

bool ends_with_label_part(std::string_view ns, std::string_view part) {
  return ns == part ||
         (ns.size() > part.size() && ns.ends_with(part) && ns[ns.size() - part.size() - 1] == '.');
}

std::string_view label_namespace(std::string_view key) {
  size_t slash = key.find('/');
  return slash == key.npos ? std::string_view() : key.substr(0, slash);
}

// Labels in the system's namespaces that a node says of itself.
bool is_node_label(std::string_view key) {
  static constexpr std::array kOwn{"kubernetes.io/hostname",
                                   "topology.kubernetes.io/zone",
                                   "topology.kubernetes.io/region",
                                   "failure-domain.beta.kubernetes.io/zone",
                                   "failure-domain.beta.kubernetes.io/region",
                                   "beta.kubernetes.io/instance-type",
                                   "node.kubernetes.io/instance-type",
                                   "kubernetes.io/os",
                                   "kubernetes.io/arch",
                                   "beta.kubernetes.io/os",
                                   "beta.kubernetes.io/arch"};
  if (std::find(kOwn.begin(), kOwn.end(), key) != kOwn.end()) return true;
  std::string_view ns = label_namespace(key);
  return ends_with_label_part(ns, "kubelet.kubernetes.io") ||
         ends_with_label_part(ns, "node.kubernetes.io");
}

// Of the labels in which `now` and `before` differ, those that are not the node's to set.
std::string forbidden_labels(const Value& now, const Value& before) {
  std::set<std::string, std::less<>> bad;
  auto compare = [&bad](const Value& from, const Value& to) {
    for (const Member& m : from.members()) {
      const Value* other = to.find(m.key());
      if (!other || !other->equals(m.value)) {
        if (!node_may_set_label(m.key())) bad.emplace(m.key());
      }
    }
  };
  compare(now, before);
  compare(before, now);
  std::string out;
  for (const std::string& key : bad) out += (out.empty() ? "" : ", ") + key;
  return out;
}

// Equal, where nothing and an empty list or map are the same.
bool same(const Value& a, const Value& b) {
  const bool none = a.is_null() || a.empty(), other = b.is_null() || b.empty();
  if (a.is_list() || a.is_map() || b.is_list() || b.is_map()) {
    if (none || other) return none && other;
  }
  return a.equals(b);
}

class Restriction {
 public:
  Restriction(const Attributes& a, std::string_view node, const Value* object, const Value* before)
      : a_(a),
        node_(node),
        self_("node " + quoted(node)),
        object_(object ? *object : Value::null()),
        before_(before ? *before : Value::null()) {}

  Status check() {
    if (a_.is("", "Pod")) return pod();
    if (a_.is("", "Node")) return node();
    if (a_.is("", "PersistentVolumeClaim")) return claim();
    if (a_.is("", "ServiceAccount")) return token();
    if (a_.is("coordination.k8s.io", "Lease")) return lease();
    if (a_.is("storage.k8s.io", "CSINode")) {
      if (a_.name == node_) return {};
      return no("can only access CSINode with the same name as the requesting node");
    }
    if (a_.is("resource.k8s.io", "ResourceSlice")) return slice();
    if (a_.is("certificates.k8s.io", "CertificateSigningRequest")) return signing_request();
    return {};
  }

 private:
  Status no(std::string_view why) const { return refuse(a_, why); }
  bool creates() const { return a_.operation == Operation::kCreate; }
  bool updates() const { return a_.operation == Operation::kUpdate; }
  std::string unexpected() const { return "unexpected operation " + quoted(word(a_.operation)); }
  bool on_node(const Value& pod) const { return pod["spec"]["nodeName"].as_string() == node_; }

  Status pod() {
    if (a_.subresource.empty()) {
      if (creates()) return mirror_pod();
      if (updates()) {
        return no(unexpected() + ", " + self_ + " can only create and delete mirror pods");
      }
      if (on_node(before_)) return {};
      return no(self_ + " can only delete pods with spec.nodeName set to itself");
    }
    if (a_.subresource == "status") return updates() ? pod_status() : no(unexpected());
    if (a_.subresource == "eviction") return eviction();
    return no("unexpected pod subresource " + quoted(a_.subresource) +
              ", only 'status' and 'eviction' are allowed");
  }

  Status mirror_pod() {
    if (!server::is_mirror_pod(object_)) {
      return no("pod does not have " + quoted(server::kMirrorAnnotation) + " annotation, " + self_ +
                " can only create mirror pods");
    }
    if (!on_node(object_)) {
      return no(self_ + " can only create pods with spec.nodeName set to itself");
    }
    TRY(owner());
    std::string error, what = server::api_reference(object_["spec"], &error);
    if (!error.empty()) return no("error checking mirror pod for API references: " + error);
    if (what.empty()) return {};
    return no(self_ + " can not create pods that reference " + what);
  }

  // A mirror pod belongs to the Node that there is.
  Status owner() {
    const Value& owners = metadata(object_)["ownerReferences"];
    if (owners.size() > 1) {
      return no(self_ + " can only create pods with a single owner reference set to itself");
    }
    const Value& o = owners.at(0);
    if (owners.empty() || o["apiVersion"].as_string() != "v1" || o["kind"].as_string() != "Node" ||
        o["name"].as_string() != node_) {
      return no(self_ + " can only create pods with an owner reference set to itself");
    }
    if (!o["controller"].as_bool()) {
      return no(self_ + " can only create pods with a controller owner reference set to itself");
    }
    if (o["blockOwnerDeletion"].as_bool()) {
      return no(self_ + " must not set blockOwnerDeletion on an owner reference");
    }
    ObjectPtr there = find(a_, "", "v1", "Node", "", node_);
    if (!there) return Status::not_found("", "nodes", node_);
    if (o["uid"].as_string() == there->uid()) return {};
    return no("node " + std::string(node_) + " UID mismatch: expected " +
              std::string(o["uid"].as_string()) + " got " + std::string(there->uid()));
  }

  Status pod_status() {
    if (!on_node(before_)) {
      return no(self_ + " can only update pod status for pods with spec.nodeName set to itself");
    }
    if (!same(metadata(object_)["labels"], metadata(before_)["labels"])) {
      return no(self_ + " cannot update labels through pod status");
    }
    const Value &now = object_["status"], &old = before_["status"];
    if (!same(now["resourceClaimStatuses"], old["resourceClaimStatuses"])) {
      return no(self_ + " cannot update resource claim statues");
    }
    if (same(now["extendedResourceClaimStatus"], old["extendedResourceClaimStatus"])) return {};
    return no(self_ + " cannot update extended resource claim status");
  }

  Status eviction() {
    if (!creates()) return no("unexpected operation " + std::string(word(a_.operation)));
    ObjectPtr there = find(a_, "", "v1", "Pod", a_.namespace_, a_.name);
    if (!there) return Status::not_found("", "pods", a_.name);
    if (on_node(there->tree()->root)) return {};
    return no("node " + std::string(node_) +
              " can only evict pods with spec.nodeName set to itself");
  }

  Status node() {
    if (a_.name != node_) return no(self_ + " is not allowed to modify node " + quoted(a_.name));
    const Value &spec = object_["spec"], &old = before_["spec"];
    const Value& source = spec["configSource"];
    if (creates()) {
      if (!source.is_null()) {
        return no(self_ + " is not allowed to create pods with a non-nil configSource");
      }
      std::string bad = forbidden_labels(metadata(object_)["labels"], Value::null());
      if (bad.empty()) return {};
      return no(self_ + " is not allowed to set the following labels: " + bad);
    }
    if (!updates()) return {};
    if (!source.is_null() && !source.equals(old["configSource"])) {
      return no(self_ + " is not allowed to update configSource to a new non-nil configSource");
    }
    if (!same(spec["taints"], old["taints"])) {
      return no(self_ + " is not allowed to modify taints");
    }
    if (!same(metadata(object_)["ownerReferences"], metadata(before_)["ownerReferences"])) {
      return no(self_ + " is not allowed to modify ownerReferences");
    }
    std::string bad = forbidden_labels(metadata(object_)["labels"], metadata(before_)["labels"]);
    if (bad.empty()) return {};
    return no("is not allowed to modify labels: " + bad);
  }

  // A claim's status as far as growing it goes, and nothing else of it.
  Status claim() {
    if (a_.subresource != "status") return no("may only update PVC status");
    if (!updates()) return no(unexpected());
    static constexpr std::array kFree{"capacity", "conditions", "allocatedResourceStatuses",
                                      "allocatedResources"};
    std::string changed;
    compare(metadata(object_), metadata(before_), "metadata",
            std::array{"resourceVersion", "managedFields", "generation"}, &changed);
    compare(object_["spec"], before_["spec"], "spec", std::array<const char*, 0>{}, &changed);
    compare(object_["status"], before_["status"], "status", kFree, &changed);
    if (changed.empty()) return {};
    return no(self_ +
              " is not allowed to update fields other than status.quantity and "
              "status.conditions: " +
              changed);
  }
  template <size_t N>
  static void compare(const Value& now, const Value& old, std::string_view path,
                      const std::array<const char*, N>& free, std::string* changed) {
    auto one_way = [&](const Value& from, const Value& to, bool twice) {
      for (const Member& m : from.members()) {
        if (std::find(free.begin(), free.end(), m.key()) != free.end()) continue;
        if (twice && to.find(m.key())) continue;
        if (same(m.value, to[m.key()])) continue;
        *changed += (changed->empty() ? "" : ", ") + std::string(path) + "." + std::string(m.key());
      }
    };
    one_way(now, old, false);
    one_way(old, now, true);
  }

  // Tokens for pods that run here, and for audiences that they ask for.
  Status token() {
    if (!creates() || a_.subresource != "token") return {};
    const Value& ref = object_["spec"]["boundObjectRef"];
    if (ref["apiVersion"].as_string() != "v1" || ref["kind"].as_string() != "Pod" ||
        ref["name"].as_string().empty()) {
      return no("node requested token not bound to a pod");
    }
    std::string_view uid = ref["uid"].as_string(), name = ref["name"].as_string();
    if (uid.empty()) return no("node requested token with a pod binding without a uid");
    ObjectPtr there = find(a_, "", "v1", "Pod", a_.namespace_, name);
    if (!there) return Status::not_found("", "pods", name);
    if (uid != there->uid()) {
      return no("the UID in the bound object reference (" + std::string(uid) +
                ") does not match the UID in record. The object might have been deleted and then "
                "recreated");
    }
    DocumentPtr pod = there->tree();
    if (!on_node(pod->root)) {
      return no("node requested token bound to a pod scheduled on a different node");
    }
    return audience(pod->root);
  }

  Status audience(const Value& pod) {
    const Value& wanted = object_["spec"]["audiences"];
    if (wanted.size() > 1) return no("node may only request 0 or 1 audiences");
    const std::string one(wanted.at(0).as_string());
    std::vector<std::string> missing;
    for (const Value& v : pod["spec"]["volumes"].items()) {
      for (const Value& s : v["projected"]["sources"].items()) {
        const Value& projected = s["serviceAccountToken"];
        if (!projected.is_null() && projected["audience"].as_string() == one) return {};
      }
      if (driver_asks_for(pod, v, one, &missing)) return {};
    }
    if (!missing.empty()) {
      std::string what;
      for (const std::string& m : missing) what += (what.empty() ? "" : ", ") + m;
      if (missing.size() > 1) what = "[" + what + "]";
      return no("error validating audience " + quoted(one) + ": " + what);
    }
    // Or the administrator lets nodes ask for it.
    Access access;
    access.verb = "request-serviceaccounts-token-audience";
    access.version = "v1";
    access.resource = one;
    access.ns = a_.namespace_;
    access.name = a_.name;
    if (!one.empty() && a_.may && *a_.may && (*a_.may)(access)) return {};
    return no("audience " + quoted(one) + " not found in pod spec volume, " + std::string(a_.user) +
              " is not authorized to request tokens for this audience");
  }

  // The CSI driver of a volume, or of a persistent one, which has taken over what used to be built
  // in; "": none.
  static std::string driver_of(const Value& volume) {
    static constexpr std::pair<std::string_view, std::string_view> kTakenOver[] = {
        {"awsElasticBlockStore", "ebs.csi.aws.com"},
        {"azureDisk", "disk.csi.azure.com"},
        {"azureFile", "file.csi.azure.com"},
        {"cinder", "cinder.csi.openstack.org"},
        {"gcePersistentDisk", "pd.csi.storage.gke.io"},
        {"portworxVolume", "pxd.portworx.com"},
        {"vsphereVolume", "csi.vsphere.vmware.com"}};
    const std::string_view own = volume["csi"]["driver"].as_string();
    if (!own.empty()) return std::string(own);
    for (const auto& [field, driver] : kTakenOver) {
      if (!volume[field].is_null()) return std::string(driver);
    }
    return {};
  }

  // Whether the volume is of a CSI driver that takes tokens for this audience. `missing`: what
  // there is not on the way to it.
  bool driver_asks_for(const Value& pod, const Value& volume, std::string_view audience,
                       std::vector<std::string>* missing) const {
    const auto lacks = [missing](std::string_view group, std::string_view resource,
                                 std::string_view name) {
      missing->push_back(Status::not_found(group, resource, name).message());
      return false;
    };
    std::string claim(volume["persistentVolumeClaim"]["claimName"].as_string());
    if (!volume["ephemeral"].is_null()) {
      claim =
          std::string(registry::meta(pod, "name")) + "-" + std::string(volume["name"].as_string());
    }
    std::string driver;
    if (claim.empty()) {
      driver = driver_of(volume);
    } else {
      ObjectPtr pvc = find(a_, "", "v1", "PersistentVolumeClaim", a_.namespace_, claim);
      if (!pvc) return lacks("", "persistentvolumeclaim", claim);
      const std::string name(pvc->tree()->root["spec"]["volumeName"].as_string());
      ObjectPtr pv = find(a_, "", "v1", "PersistentVolume", "", name);
      if (!pv) return lacks("", "persistentvolume", name);
      driver = driver_of(pv->tree()->root["spec"]);
    }
    if (driver.empty()) return false;
    ObjectPtr there = find(a_, "storage.k8s.io", "v1", "CSIDriver", "", driver);
    if (!there) return lacks("storage.k8s.io", "csidriver", driver);
    DocumentPtr tree = there->tree();
    for (const Value& t : tree->root["spec"]["tokenRequests"].items()) {
      if (t["audience"].as_string() == audience) return true;
    }
    return false;
  }

  Status lease() {
    if (a_.namespace_ != "kube-node-lease") {
      return no("can only access leases in the \"kube-node-lease\" system namespace");
    }
    if (a_.name == node_) return {};
    return no("can only access node lease with the same name as the requesting node");
  }

  Status slice() {
    if (updates()) return {};
    const Value& slice = creates() ? object_ : before_;
    if (slice["spec"]["nodeName"].as_string() == node_) return {};
    return no("can only " + std::string(creates() ? "create" : "delete") +
              " ResourceSlice with the same NodeName as the requesting node");
  }

  Status signing_request() {
    std::string_view signer = object_["spec"]["signerName"].as_string();
    const bool of_kubelets = signer == "kubernetes.io/kubelet-serving" ||
                             signer == "kubernetes.io/kube-apiserver-client-kubelet";
    if (!creates() || !of_kubelets) return {};
    Result<std::string> pem = base64_decode(object_["spec"]["request"].as_string());
    Result<net::CertificateInfo> csr =
        pem.ok() ? net::parse_csr(*pem) : Result<net::CertificateInfo>(pem.status());
    if (!csr.ok()) return no("unable to parse csr: " + csr.status().message());
    const std::string wanted = "system:node:" + std::string(node_);
    if (csr->common_name == wanted) return {};
    return no("can only create a node CSR with CN=" + wanted);
  }

  const Attributes& a_;
  std::string_view node_;
  std::string self_;
  const Value& object_;
  const Value& before_;
};

}  // namespace

bool node_may_set_label(std::string_view key) {
  std::string_view ns = label_namespace(key);
  if (ends_with_label_part(ns, "node-restriction.kubernetes.io")) return false;
  const bool system =
      ends_with_label_part(ns, "kubernetes.io") || ends_with_label_part(ns, "k8s.io");
  return !system || is_node_label(key);
}

namespace {

Status restrict(const Attributes& a, const Value* object, const Value* before) {
  Caller caller;
  caller.name = a.user;
  if (a.groups) caller.groups = *a.groups;
  std::string_view node;
  if (!auth::is_node(caller, &node)) return {};
  if (node.empty()) return refuse(a, "could not determine node from user " + quoted(a.user));
  return Restriction(a, node, object, before).check();
}

}  // namespace

// What was sent is judged, before it is made to fit; a deletion sends nothing.
Status node_restriction(const Attributes& a, Document& object, const Value* before) {
  return restrict(a, &object.root, before);
}

Status node_restriction_validate(const Attributes& a, const Value* object, const Value* before) {
  return a.operation == Operation::kDelete ? restrict(a, object, before) : Status();
}

}  // namespace keles::admission
