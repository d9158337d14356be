from medvl.lexicon.chexpert import label


def test_positive_goes_before_uncertain_before_negative():
    report = "No effusion on the right. Possible effusion on the left. No pneumothorax. Possible pneumonia. No pneumonia."

    assert label(report) == {"Pneumonia": "uncertain", "Pneumothorax": "negative", "Pleural Effusion": "uncertain"}


def test_a_clear_chest_with_a_device_has_no_finding():
    assert label("Lungs are clear. Right PICC in place.") == {"Support Devices": "positive", "No Finding": "positive"}


def test_no_finding_is_not_said_beside_a_doubt():
    assert "No Finding" not in label("Possible atelectasis.")


def test_a_normal_heart_denies_cardiomegaly():
    assert label("Heart size is normal.")["Cardiomegaly"] == "negative"


def test_what_has_resolved_is_negative():
    assert label("The pneumothorax has resolved.")["Pneumothorax"] == "negative"


def test_spanish_reports_have_the_same_classes():
    assert label("Derrame pleural izquierdo. Sin neumotórax.", language="es") == {
        "Pneumothorax": "negative",
        "Pleural Effusion": "positive",
    }
