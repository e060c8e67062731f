// Warnings of volumes whose files would lie in one another's place: the later one wins, or the
// volume cannot be made. See warnings.h.
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

struct Place {
  std::string path, source;
  std::string text() const {
    return source.empty() ? quoted(path) : quoted(path) + " (" + source + ")";
  }
};

// The same path, or one that is a directory of the other.
bool overlap(const Place& a, const Place& b) {
  if (a.path.empty() || b.path.empty()) return false;
  const std::string x = a.path + "/", y = b.path + "/";
  return x.starts_with(y) || y.starts_with(x);
}

class Places {
 public:
  Places(Warnings* out, std::string_view volume, std::string_view what)
      : out_(out), head_("volume " + quoted(volume) + " (" + std::string(what) + "): ") {}
  void add(std::string_view path, const std::string& source) {
    Place now{std::string(path), source};
    while (!now.path.empty() && now.path.back() == '/') now.path.pop_back();
    for (const Place& p : places_) {
      if (!overlap(p, now)) continue;
      out_->push_back(head_ + "overlapping paths: " + now.text() + " with " + p.text());
    }
    places_.push_back(std::move(now));
  }
  void add_items(const Value& items, const std::string& source) {
    for (const Value& i : items.items()) add(i["path"].as_string(), source);
  }

 private:
  Warnings* out_;
  std::string head_;
  std::vector<Place> places_;
};

std::string named(const char* kind, const Value& name) {
  return std::string(kind) + " " + quoted(name.as_string());
}

void add_source(Places& places, const Value& source) {
  if (const Value& c = source["configMap"]; !c["items"].empty()) {
    places.add_items(c["items"], named("ConfigMap", c["name"]));
  } else if (const Value& s = source["secret"]; !s["items"].empty()) {
    places.add_items(s["items"], named("Secret", s["name"]));
  } else if (const Value& d = source["downwardAPI"]; !d["items"].empty()) {
    places.add_items(d["items"], "DownwardAPI");
  } else if (const Value& t = source["serviceAccountToken"]; !t.is_null()) {
    places.add(t["path"].as_string(), "ServiceAccountToken");
  } else if (const Value& b = source["clusterTrustBundle"]; !b.is_null()) {
    const Value& name = b["name"].is_null() ? b["signerName"] : b["name"];
    places.add(b["path"].as_string(), named("ClusterTrustBundle", name));
  } else if (const Value& p = source["podCertificate"]; !p.is_null()) {
    struct File {
      std::string_view field;
      const char* what;
    };
    for (const File& f : {File{"certificateChainPath", "PodCertificate chain"},
                          File{"keyPath", "PodCertificate key"},
                          File{"credentialBundlePath", "PodCertificate credential bundle"}}) {
      if (!p[f.field].as_string().empty()) places.add(p[f.field].as_string(), f.what);
    }
  }
}

bool is_empty(const Value& source) {
  for (const Member& m : source.members()) {
    if (!m.value.is_null()) return false;
  }
  return true;
}

}  // namespace

void warn_of_overlapping_paths(Warnings& out, const Value& volumes) {
  for (const Value& v : volumes.items()) {
    const std::string_view name = v["name"].as_string();
    if (const Value& c = v["configMap"]; !c.is_null()) {
      Places(&out, name, named("ConfigMap", c["name"])).add_items(c["items"], "");
    }
    if (const Value& s = v["secret"]; !s.is_null()) {
      Places(&out, name, named("Secret", s["secretName"])).add_items(s["items"], "");
    }
    if (const Value& d = v["downwardAPI"]; !d.is_null()) {
      Places(&out, name, "DownwardAPI").add_items(d["items"], "");
    }
    Places projected(&out, name, "Projected");
    for (const Value& source : v["projected"]["sources"].items()) {
      if (is_empty(source)) {
        out.push_back("volume " + quoted(name) + " (Projected) has no sources provided");
      } else {
        add_source(projected, source);
      }
    }
  }
}

}  // namespace keles::registry
