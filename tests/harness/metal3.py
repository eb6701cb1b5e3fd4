"""The `driver_info` that Metal3's baremetal-operator makes of a host's `spec.bmc.address`.

Observed of its pkg/hardwareutils/bmc: which schemes there are (those of older releases too), the member that each puts the BMC into,
and in which form.
"""

import itertools

PORTS = {"ipmi": "ipmi_port", "irmc": "irmc_port", "ilo": "client_port", "drac": "drac_port"}

# Scheme to the prefix of the members.
PLAIN = {"ipmi": "ipmi", "libvirt": "ipmi", "irmc": "irmc", "ilo4": "ilo", "ilo5": "ilo", "idrac": "drac", "idrac+http": "drac", "idrac+https": "drac"}
REDFISH = ["redfish", "redfish-virtualmedia", "redfish-uefihttp", "ilo5-redfish", "ilo5-virtualmedia", "idrac-redfish", "idrac-virtualmedia"]
URLS = {
    **{scheme + protocol: "redfish" for scheme, protocol in itertools.product(REDFISH, ("", "+http", "+https"))},
    **{f"ibmc{protocol}": "ibmc" for protocol in ("", "+http", "+https")},
}


def driver_info(scheme, host, port, path=""):
    """Of `scheme://host:port/path`; `host` without brackets, `port` may be empty."""
    prefix = PLAIN.get(scheme) or URLS[scheme]
    made = {f"{prefix}_username": "user", f"{prefix}_password": "secret", f"{prefix}_verify_ca": False}
    if scheme in PLAIN:
        # The host alone, an IPv6 address without its brackets.
        made[f"{prefix}_address"] = host
        if port:
            made[PORTS[prefix]] = port
        if prefix == "ipmi":
            made |= {"ipmi_port": port or "623", "ipmi_priv_level": "ADMINISTRATOR"}
        if prefix == "irmc":
            made |= {"ipmi_address": host, "ipmi_username": "user", "ipmi_password": "secret"}
        return made
    authority = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    _, _, protocol = scheme.partition("+")
    made[f"{prefix}_address"] = f"{protocol or 'https'}://{authority}"
    if prefix == "ibmc":
        made["ibmc_address"] += path
    elif path.strip("/") not in ("", "redfish/v1"):
        made["redfish_system_id"] = path
    return made


def every(hosts, scheme):
    """(address as in the host's manifest, driver_info) for these hosts, with ports and paths and without."""
    paths = ("",) if scheme in PLAIN else ("", "/redfish/v1/", "/redfish/v1/Systems/1")
    for host, port, path in itertools.product(hosts, ("", "8443"), paths):
        authority = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        yield f"{scheme}://{authority}{path}", driver_info(scheme, host, port, path)
