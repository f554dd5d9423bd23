"""Names that stores give to what we read, in English, German, French and Spanish: the lists by which `doctor` guesses.

They are compared without capitals, accents and separators. The first that is found counts. The guide shows these lists.
"""

import re
import unicodedata

TABLES = {
    "events": "events event clicks clickstream click_log event_log log logs tracks hits interactions actions"
    " klicks ereignisse aufrufe klickprotokoll clics evenements evenement journal eventos evento registro",
    "products": "products product catalog catalogue skus inventory_export inventory"
    " artikel produkte produkt sortiment produits articles productos articulos catalogo",
    "stock": "stock stocks inventory_snapshots inventory_history inventory_levels stock_levels stock_history"
    " bestand bestaende lager lagerbestand etat_des_stocks historique_stock existencias inventario",
    "order_items": "order_items orderitems order_lines line_items order_details"
    " positionen bestellpositionen auftragspositionen lignes lignes_commande lignes_de_commande"
    " lineas lineas_pedido lineas_de_pedido",
    "orders": "orders order bestellungen auftraege commandes pedidos",
}
_ID_OF_PRODUCT = (
    "product_id item_id sku variant_sku article_id"
    " artikelnummer artikelnr artikel_id produkt_id produktnummer produktnr produkt artikel"
    " id_produit ref_produit reference produit id_producto codigo_producto referencia producto product item"
)
_ID_OF_ORDER = (
    "order_id transaction_id order_number order"
    " bestellnummer bestellnr bestell_id bestellungs_id bestellung_id auftragsnummer auftragsnr"
    " bestellung auftrag"
    " id_commande num_commande numero_commande commande id_pedido numero_pedido pedido"
)
_USER = (
    "user_id visitor_id anonymous_id user_pseudo_id customer_id client_id user"
    " kunden_id kundennummer kundennr kunde_id benutzer_id benutzer nutzer_id nutzer kunde besucher"
    " id_client id_utilisateur utilisateur client"
    " id_cliente id_usuario usuario cliente"
)
_INSTANT = (
    "created_at event_time event_timestamp timestamp ts datetime occurred_at time date"
    " zeitpunkt zeitstempel zeit datum_uhrzeit erstellt_am angelegt_am datum horodatage"
    " date_creation date_heure heure fecha_hora fecha_creacion marca_de_tiempo fecha"
)
_PRICE = "price unit_price preis einzelpreis verkaufspreis vk_preis prix prix_unitaire precio precio_unitario"
_INVENTORY = (
    "inventory available on_hand stock quantity_on_hand on_hand_units current_stock stock_quantity quantity qty"
    " bestand lagerbestand lagermenge vorrat menge stock_disponible quantite existencias cantidad"
)
_SEEN_AT = (
    "observed_at snapshot_date snapshot_at date timestamp day datum stichtag tag zeitpunkt jour date_stock fecha dia"
)
COLUMNS = {
    "events": {
        "event_id": "event_id message_id uuid id ereignis_id ereignisnr klick_id klicknr"
        " klicknummer nr nummer id_evenement id_clic id_evento",
        "session_id": "session_id session user_session visit_id ga_session_id"
        " sitzung sitzungs_id sitzung_id sitzungsnr sitzungsnummer besuch id_session visite"
        " id_visite id_sesion sesion visita",
        "user_id": _USER,
        "page_url": "page_url url page_location page path seite seiten_url adresse_url pagina",
        "created_at": _INSTANT,
        "event_type": "event_type event_name event action type name"
        " ereignistyp ereignis aktion typ type_evenement evenement tipo_evento evento accion tipo",
        "order_id": _ID_OF_ORDER,
        "product_id": _ID_OF_PRODUCT,
        "price": _PRICE,
    },
    "products": {
        "product_id": _ID_OF_PRODUCT + " id",
        "name": "name title product_name product_title bezeichnung artikelname produktname titel"
        " nom libelle designation nombre titulo descripcion",
        "price": _PRICE,
        "inventory": _INVENTORY,
        "observed_at": _SEEN_AT,
    },
    "stock": {"observed_at": _SEEN_AT, "product_id": _ID_OF_PRODUCT, "inventory": _INVENTORY},
    "order_items": {
        "order_id": _ID_OF_ORDER,
        "product_id": _ID_OF_PRODUCT,
        "quantity": "quantity qty units menge anzahl stueck quantite cantidad",
    },
    "orders": {
        "order_id": _ID_OF_ORDER + " id",
        "user_id": _USER,
        "created_at": "order_date ordered_at bestelldatum bestellt_am bestellzeit date_commande fecha_pedido "
        + _INSTANT,
        "order_total": "order_total total amount total_price summe gesamt gesamtsumme gesamtbetrag"
        " bestellsumme bestellwert betrag montant importe",
        "status": "status state financial_status zustand statut etat estado",
    },
}
PLACES = (
    "location store shop warehouse store_id standort lager filiale ort emplacement magasin ubicacion almacen tienda"
)
STAGES = {
    "page_view": "page_view page_viewed view viewed product_viewed product_view view_item screen_view"
    " seitenaufruf seitenansicht aufruf ansicht produktansicht produktaufruf angesehen vue"
    " vue_produit page_vue vista vista_producto visita",
    "add_to_cart": "add_to_cart cart product_added product_added_to_cart added_to_cart add_to_basket"
    " warenkorb in_den_warenkorb in_warenkorb warenkorb_hinzugefuegt zum_warenkorb_hinzugefuegt"
    " ajout_panier ajout_au_panier panier"
    " carrito anadir_al_carrito agregar_al_carrito",
    "checkout": "checkout purchase transaction order_completed checkout_completed order_placed purchased"
    " bestellung kauf gekauft bestellt kasse bezahlt kaufabschluss achat commande compra pedido",
    "package_shipped": "package_shipped shipped order_shipped order_fulfilled fulfilled"
    " versand versandt versendet verschickt expedition expedie envio enviado",
}


def plain(name: str) -> str:
    """Return a name without capitals, accents and separators."""
    spelled = name.translate({ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue", ord("Ä"): "ae", ord("Ü"): "ue"})
    letters = unicodedata.normalize("NFKD", spelled.replace("ß", "ss").casefold())
    return re.sub(r"[^a-z0-9]", "", letters)


def known(names: str) -> list[str]:
    """Return the names of a list, as they are compared."""
    return [plain(name) for name in names.split()]
